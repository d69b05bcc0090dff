//! Where the store is: flags before the environment, servers, sockets, tokens.

use crate::support::{Home, record};

#[test]
fn the_command_line_goes_before_the_environment() {
    let home = Home::new();
    let other = home.path("other");
    home.run_with_input(["append", "--data", other.to_str().unwrap(), "-"], record(1).as_bytes()).good();
    assert!(other.is_dir() && !home.store().exists());
    let mut command = home.command(["find", "--json", "--data", other.to_str().unwrap()]);
    let ran =
        crate::support::finish(command.env("DEED_SERVER", "http://127.0.0.1:1").output().unwrap()).good();
    assert_eq!(ran.json_lines().len(), 1);
    // Without either: below the home of data.
    let mut command = home.command(["append", "-"]);
    command.env_remove("DEED_DATA").stdin(std::fs::File::open(home.write("r.json", record(2))).unwrap());
    crate::support::finish(command.output().unwrap()).good();
    assert!(home.path("share/deed/keys").is_dir());
}

#[test]
fn a_server_is_asked_over_tcp() {
    let home = Home::new();
    let serving = home.serve(&[]);
    let elsewhere = Home::new();
    elsewhere.run_with_input(["append", "--server", &serving.url(), "-"], record(1).as_bytes()).good();
    let mut command = elsewhere.command(["find", "--json"]);
    let found = crate::support::finish(
        command.env_remove("DEED_DATA").env("DEED_SERVER", serving.url()).output().unwrap(),
    )
    .good();
    assert_eq!(found.json_lines().len(), 1);
    assert!(!elsewhere.store().exists());
    for asked in [&["doctor"][..], &["keys"], &["export", "--tiles", "tiles"]] {
        elsewhere.run([asked, &["--server", &serving.url()]].concat()).good();
    }
    // The same store, through its socket.
    assert_eq!(home.run(["find", "--json"]).good().json_lines().len(), 1);
    assert_eq!(serving.stop(), 0);
    elsewhere
        .run(["find", "--server", "http://127.0.0.1:1"])
        .bad(7, &["failed to reach `http://127.0.0.1:1`", "deed serve"]);
    elsewhere.run(["find", "--server", "ftp://deed.example"]).bad(2, &["https://"]);
}

#[test]
fn a_token_is_shown_where_one_is_asked_for() {
    let home = Home::new();
    let token = "0123456789abcdef0123456789abcdef";
    let hash = sha256(token);
    home.write(
        "store/deed.toml",
        format!("[[token]]\nname = \"ci\"\nhash = \"sha256:{hash}\"\nrights = [\"read\"]\n"),
    );
    let serving = crate::support::serve(&mut home.command([
        "serve",
        "--json",
        "--listen",
        "0.0.0.0:0",
        "--otlp-grpc",
        "off",
        "--otlp-http",
        "off",
    ]));
    let url = format!("http://127.0.0.1:{}", serving.http.unwrap().port());
    let ask = |arguments: &[&str], token: Option<&str>| {
        let mut command = home.command([arguments, &["--server", &url]].concat());
        token.map(|token| command.env("DEED_TOKEN", token));
        crate::support::finish(command.output().unwrap())
    };
    ask(&["find"], None).bad(1, &["$DEED_TOKEN"]);
    ask(&["find"], Some("fedcba9876543210fedcba9876543210")).bad(1, &["not one of this server's"]);
    ask(&["find"], Some(token)).good();
    let records = home.write("r.json", record(1));
    ask(&["append", records.to_str().unwrap()], Some(token)).bad(1, &["no right `write`"]);
    serving.kill();
}

fn sha256(text: &str) -> String {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn settings_that_are_wrong_are_named_with_their_line() {
    let home = Home::new();
    home.write("store/deed.toml", "[listen]\nport = 7400\n");
    home.run_with_input(["append", "-"], record(1).as_bytes()).bad(1, &["deed.toml", "line 2", "port"]);
}
