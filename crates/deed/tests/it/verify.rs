//! `deed verify`: what is good, and what was done to it.

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use flate2::{Compression, write::GzEncoder};

use crate::support::{Home, Ran, finish, record};

#[test]
fn a_good_store_is_self_consistent() {
    let home = Home::with_migration();
    let report = home.run(["verify", "--json"]).good().json();
    assert_eq!(report["verified"], true);
    assert_eq!(report["self_consistent_only"], true);
    assert_eq!(report["size"], 9);
    assert_eq!(report["checked"]["leaves"], 9);
    assert!(report["checked"]["disclosures"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["problems"], serde_json::json!([]));
    assert_eq!(report["root"].as_str().unwrap().len(), 64);
    let text = home.run(["verify"]).good().out;
    assert!(text.starts_with("SELF-CONSISTENT ONLY") && text.contains("deed keys"), "{text}");
    // The same by name.
    home.run(["verify", home.store().to_str().unwrap()]).good();
}

#[test]
fn what_was_kept_elsewhere_is_held_against_it() {
    let home = Home::with_migration();
    let keys = home.write("deed.vkey", home.run(["keys"]).good().out);
    let kept = home.write("kept", fs::read(home.store().join("log/checkpoint")).unwrap());
    home.run_with_input(["append", "-"], record(1).as_bytes()).good();
    let (keys, kept) = (keys.to_str().unwrap(), kept.to_str().unwrap());
    let report = home.run(["verify", "--json", "--vkey", keys, "--since", kept]).good().json();
    assert_eq!(
        (&report["verified"], &report["self_consistent_only"], &report["size"]),
        (&true.into(), &false.into(), &10.into())
    );
    assert!(home.run(["verify", "--vkey", keys]).good().out.starts_with("VERIFIED"));
    // A log made anew has other keys and another history.
    let other = Home::with_migration();
    other.run(["verify", "--vkey", keys]).bad_or_unverified();
    assert_eq!(other.run(["verify", "--since", kept]).code, 4);
    home.run(["verify", "--vkey", "nowhere"]).bad(1, &["failed to read the keys in `nowhere`"]);
    home.run(["verify", "--since", keys]).bad(1, &["failed to read the checkpoint"]);
    // With the right keys at hand the store's own damaged ones are told as well: nothing can go on with them.
    let seed = home.store().join("keys/ed25519.seed");
    let mut damaged = fs::read(&seed).unwrap();
    damaged[10] = if damaged[10] == b'1' { b'2' } else { b'1' };
    fs::write(&seed, damaged).unwrap();
    let told = home.run(["verify", "--vkey", keys]);
    assert!(told.code == 4 && told.out.contains("a seed is not what it was"), "{told:#?}");
}

impl crate::support::Ran {
    #[track_caller]
    fn bad_or_unverified(self) {
        assert!(matches!(self.code, 4 | 5), "{self:#?}");
    }
}

#[test]
fn a_flipped_byte_is_caught_wherever_it_is() {
    let home = Home::with_migration();
    // In a leaf, in a disclosure, in the checkpoint.
    let leaf = b"schema:alter".as_slice();
    let journal = fs::read_dir(home.store().join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| has(path, leaf))
        .unwrap();
    for (path, needle) in [(journal, leaf), (home.store().join("log/checkpoint"), b"9\n".as_slice())] {
        let good = fs::read(&path).unwrap();
        let at = good.windows(needle.len()).position(|window| window == needle).unwrap();
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, bad).unwrap();
        let ran = home.run(["verify", "--json"]);
        assert_eq!(ran.code, 4, "{}: {ran:?}", path.display());
        let report = ran.json();
        assert_eq!(report["verified"], false);
        assert!(!report["problems"].as_array().unwrap().is_empty(), "{report}");
        let text = home.run(["verify"]);
        assert!(
            text.out.starts_with("VIOLATED") && text.out.contains("keep this copy untouched"),
            "{text:?}"
        );
        fs::write(&path, good).unwrap();
    }
    home.run(["verify"]).good();
}

fn has(path: &Path, needle: &[u8]) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
}

#[test]
fn what_is_missing_never_passes() {
    let home = Home::with_migration();
    let nowhere: PathBuf = home.path("nowhere");
    home.run(["verify", nowhere.to_str().unwrap()]).bad(3, &["nowhere", "no such folder"]);
    Home::new().run(["verify"]).bad(3, &["deed import auto PATH"]);
    fs::create_dir(&nowhere).unwrap();
    assert_eq!(home.run(["verify", nowhere.to_str().unwrap()]).code, 5);
    fs::remove_file(home.store().join("log/checkpoint")).unwrap();
    assert_eq!(home.run(["verify"]).code, 5);
    // A file that nobody knows is no good sign.
    let home = Home::with_migration();
    home.write("store/log/notes.txt", "hello");
    let ran = home.run(["verify"]);
    assert!(ran.code == 4 && ran.out.contains("log/notes.txt"), "{ran:?}");
}

/// What nobody can open is no problem of the log, and no reader of the first line takes it for checked.
#[test]
fn the_first_line_says_which_payloads_were_not_checked() {
    let record = |person: &str| {
        format!(
            r#"{{"kind":"observation","time":"2026-11-20T10:00:00Z","initiator":{{"key":"{person}","type":"human"}},"executor":{{"key":"a","type":"agent"}},"disclose":{{"arguments":{{"n":1}}}}}}"#
        )
    };
    let home = Home::new();
    home.run_with_input(["append", "-"], record("ann").as_bytes()).good();
    let keys = home.store().join("keys/keys.redb");
    let earlier = fs::read(&keys).unwrap();
    assert_eq!(home.run(["verify", "--json"]).good().json()["payloads_unchecked"], 0);
    for person in ["bob", "carol"] {
        home.run_with_input(["append", "-"], record(person).as_bytes()).good();
    }
    // Keys of an earlier time are missing some: said by whatever opens the store, with what to do.
    let now = fs::read(&keys).unwrap();
    fs::write(&keys, &earlier).unwrap();
    home.run(["find"]).bad(5, &["keys/keys.redb", "earlier time", "restore the newest backup"]);
    let told = home.run(["doctor"]);
    assert!(told.code == 5 && told.out.contains("keys/keys.redb"), "{told:#?}");
    let told = home.run(["verify"]);
    assert!(told.code == 5 && told.out.contains("keys/keys.redb"), "{told:#?}");
    // Where there are no others, their payloads are given up.
    fs::remove_file(home.store().join("log/data-keys")).unwrap();
    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let told = home.run(["verify"]).good().out;
    assert!(
        first(&told).ends_with(
            "but for the payloads of 2 records, erased or without their key: they were not checked"
        ),
        "{told}"
    );
    assert_eq!(home.run(["verify", "--json"]).good().json()["payloads_unchecked"], 2);
    fs::write(&keys, &now).unwrap();
    assert!(!first(&home.run(["verify"]).good().out).contains("payloads"));
    fs::remove_dir_all(home.store().join("keys")).unwrap();
    let told = home.run(["verify"]).good().out;
    assert!(first(&told).ends_with("without `keys/` the payloads of 3 records were not checked"), "{told}");
}

#[test]
fn servers_and_folders_of_tiles_are_verified_too() {
    let home = Home::with_migration();
    let keys = home.write("deed.vkey", home.run(["keys"]).good().out);
    let serving = home.serve(&[]);
    let report =
        home.run(["verify", "--json", &serving.url(), "--vkey", keys.to_str().unwrap()]).good().json();
    assert_eq!(
        (&report["verified"], &report["size"], &report["self_consistent_only"]),
        (&true.into(), &9.into(), &false.into())
    );
    home.run(["verify", "--server", &serving.url()]).good();
    assert_eq!(serving.stop(), 0);
    home.run(["verify", "http://127.0.0.1:1"]).bad(7, &["failed to read the log", "127.0.0.1:1"]);
    home.run(["verify", "ftp://deed.example"]).bad(2, &["https://"]);

    home.run(["export", "--tiles", "tiles"]).good();
    let text = home.run(["verify", "tiles"]).good().out;
    assert!(text.contains("SELF-CONSISTENT ONLY") && text.contains("no signature was checked"), "{text}");
    let report = home.run(["verify", "--json", "tiles"]).good().json();
    assert_eq!(report["self_consistent_only"], true);
    assert_eq!(report["unchecked"][0]["where"], "checkpoint");
    let known = home.run(["verify", "--json", "tiles", "--vkey", keys.to_str().unwrap()]).good().json();
    assert_eq!(known["unchecked"], serde_json::json!([]));
    // A log signs with two keys: what only the other could check is named.
    let ed25519 = fs::read_to_string(&keys).unwrap().lines().next().unwrap().to_owned();
    for place in ["tiles", home.store().to_str().unwrap()] {
        let known = home.run(["verify", "--json", place, "--vkey", &ed25519]).good().json();
        let unchecked = known["unchecked"].as_array().unwrap();
        let named =
            unchecked.iter().any(|one| one["why"].as_str().unwrap().contains("that key was not given"));
        assert!(named, "{place}: {unchecked:?}");
    }
    // A signature that is none.
    let checkpoint = home.path("tiles/checkpoint");
    let good = fs::read_to_string(&checkpoint).unwrap();
    fs::write(&checkpoint, format!("{}\n\n\u{2014} x AAA=\n", good.split("\n\n").next().unwrap())).unwrap();
    assert_eq!(home.run(["verify", "tiles"]).code, 4);
    fs::write(&checkpoint, good).unwrap();
    let bundle = home.path("tiles/tile/entries/000.p/9");
    let mut bytes = fs::read(&bundle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    let ran = home.run(["verify", "tiles"]);
    assert!(ran.code == 4 && ran.out.contains("tile/entries/000.p/9"), "{ran:?}");
    fs::remove_file(bundle).unwrap();
    assert_eq!(home.run(["verify", "tiles"]).code, 5);
}

#[test]
fn what_is_derived_is_derived_again() {
    let home = Home::with_migration();
    let answer = home.run(["rebuild", "--json"]).good().json();
    assert_eq!(answer["same"], true, "{answer}");
    assert!(answer["rebuilt"].as_array().unwrap().iter().any(|part| part["name"] == "index"));
    assert!(home.run(["rebuild"]).good().out.starts_with("same"));
    home.run(["verify"]).good();
    home.run(["rebuild", "--data", "nowhere"]).bad(3, &["there is no store"]);
}

#[test]
fn a_server_that_asks_for_a_token_says_where_it_is_given() {
    let home = Home::with_migration();
    home.write(
        "store/deed.toml",
        "[[token]]\nname = \"ci\"\nhash = \"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\"\nrights = [\"read\"]\n",
    );
    let arguments = ["serve", "--json", "--listen", "0.0.0.0:0", "--otlp-grpc", "off", "--otlp-http", "off"];
    let serving = crate::support::serve(&mut home.command(arguments));
    let url = format!("http://127.0.0.1:{}", serving.http.unwrap().port());
    home.run(["verify", &url]).bad(1, &["failed to read the log", &url, "token", "$DEED_TOKEN"]);
    assert_eq!(serving.stop(), 0);
}

/// A web server over the files of a log in `root`: `answer` writes what is answered for a path and the file there.
fn web_server(
    root: PathBuf,
    answer: impl Fn(&str, Option<Vec<u8>>, &mut TcpStream) -> io::Result<()> + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                asked.push(byte[0]);
            }
            let asked = String::from_utf8(asked).unwrap();
            let path = asked.split(' ').nth(1).unwrap();
            let file = fs::read(root.join(path.trim_start_matches('/'))).ok();
            // That the client has read enough is no failure.
            drop(answer(path, file, &mut stream));
        }
    });
    address
}

fn whole(stream: &mut TcpStream, coding: Option<&str>, file: Option<Vec<u8>>) -> io::Result<()> {
    let Some(file) = file else {
        return write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let coding = coding.map(|coding| format!("Content-Encoding: {coding}\r\n")).unwrap_or_default();
    write!(stream, "HTTP/1.1 200 OK\r\n{coding}Content-Length: {}\r\nConnection: close\r\n\r\n", file.len())?;
    stream.write_all(&file)
}

fn gzip(file: Vec<u8>) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&file).unwrap();
    packed.finish().unwrap()
}

/// The program with less memory than there are bytes to be read.
fn run_within_3_gb(home: &Home, arguments: &[&str]) -> Ran {
    let plain = home.command([""; 0]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v 3000000; exec \"$0\" \"$@\""]).arg(plain.get_program()).args(arguments);
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    finish(limited.current_dir(home.path("")).output().unwrap())
}

#[test]
fn logs_of_others_are_read_as_tlog_tiles_allows() {
    let home = Home::with_migration();
    home.run(["export", "--tiles", "tiles"]).good();
    let keys = home.write("deed.vkey", home.run(["keys"]).good().out);
    let verify = |url: String| home.run(["verify", &url, "--vkey", keys.to_str().unwrap()]);

    // Below a path of its server.
    let below = web_server(home.path("tiles"), {
        let root = home.path("tiles");
        move |path, _, stream| {
            let file = path.strip_prefix("/log/x/").and_then(|path| fs::read(root.join(path)).ok());
            whole(stream, None, file)
        }
    });
    assert!(verify(format!("http://{below}/log/x")).good().out.starts_with("VERIFIED"));
    verify(format!("http://{below}/log/x/")).good();
    assert_eq!(verify(format!("http://{below}")).code, 5);

    // Packed, whoever asks.
    let packed =
        web_server(home.path("tiles"), |_, file, stream| whole(stream, Some("gzip"), file.map(gzip)));
    assert!(verify(format!("http://{packed}")).good().out.starts_with("VERIFIED"));
    // Of a coding that is not known, or is not what it says, nothing is known.
    for coding in ["br", "gzip"] {
        for place in ["tile/entries/000.p/9", "checkpoint"] {
            let coded = web_server(home.path("tiles"), move |path, file, stream| {
                whole(stream, (path == format!("/{place}")).then_some(coding), file)
            });
            let ran = verify(format!("http://{coded}"));
            assert_eq!(ran.code, 5, "{coding}: {ran:#?}");
            assert!(format!("{}{}", ran.out, ran.err).contains("cannot be decoded"), "{ran:#?}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_longer_than_it_can_be_is_named_and_not_read_to_its_end() {
    let home = Home::with_migration();
    home.run(["export", "--tiles", "tiles"]).good();
    for (place, says) in [
        ("tile/0/000.p/9", "tile/0/000.p/9: is longer than the 288 bytes that it can have"),
        ("checkpoint", "checkpoint: the note has more than 1048576 bytes"),
    ] {
        // Without end, and packed into little.
        let endless = web_server(home.path("tiles"), move |path, file, stream| {
            if path != format!("/{place}") {
                return whole(stream, None, file);
            }
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            (0..8 << 10).try_for_each(|_| stream.write_all(&[0; 1 << 20]))
        });
        let packed = web_server(home.path("tiles"), move |path, file, stream| {
            let is_there = path == format!("/{place}");
            let file = if is_there { Some(gzip(vec![0; 256 << 10].repeat(8))) } else { file };
            whole(stream, is_there.then_some("gzip"), file)
        });
        for address in [endless, packed] {
            let ran = run_within_3_gb(&home, &["verify", &format!("http://{address}")]);
            assert!(ran.code == 4 && ran.out.contains(says), "{ran:#?}");
        }
        let path = home.path("tiles").join(place);
        let good = fs::read(&path).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(8 << 30).unwrap();
        let ran = run_within_3_gb(&home, &["verify", "tiles"]);
        assert!(ran.code == 4 && ran.out.contains(says), "{ran:#?}");
        fs::write(&path, good).unwrap();
    }
    home.run(["verify", "tiles"]).good();

    // Nor is any other answer held without end.
    let endless = web_server(home.path("tiles"), |_, _, stream| {
        write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        (0..8 << 10).try_for_each(|_| stream.write_all(&[0; 1 << 20]))
    });
    home.run(["find", "--server", &format!("http://{endless}")]).bad(1, &["longer than 268435456 bytes"]);

    // What stands behind the last frame of a journal says nothing, however much it is.
    let journal = home.store().join("journal/0000.journal");
    fs::File::options().write(true).open(&journal).unwrap().set_len(4 << 30).unwrap();
    assert!(!run_within_3_gb(&home, &["find", "--json"]).good().out.is_empty());

    let checkpoint = home.store().join("log/checkpoint");
    fs::File::options().write(true).open(&checkpoint).unwrap().set_len(8 << 30).unwrap();
    let ran = run_within_3_gb(&home, &["verify"]);
    assert!(ran.code == 4 && ran.out.contains("more than 1048576 bytes"), "{ran:#?}");
}

/// A pipe where a file of the store was would be read for ever.
#[test]
fn pipes_in_a_store_keep_nobody_waiting() {
    let home = Home::new();
    let many: String = (0..65_600).map(|number| record(number) + "\n").collect();
    home.run_with_input(["append", "-"], many.as_bytes()).good();
    let folder = |name: &str| home.store().join(name);
    let first = |name: &str| fs::read_dir(folder(name)).unwrap().next().unwrap().unwrap().path();
    for path in [first("packs"), first("index"), folder("log/checkpoint"), folder("journal/0001.journal")] {
        let kept = home.path("kept");
        fs::rename(&path, &kept).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let ran = home.run(["verify"]);
        assert!(ran.code == 4 && ran.out.contains("it is no file but leads to one"), "{path:?} {ran:#?}");
        let ran = home.run_with_input(["append", "-"], record(1_000_000).as_bytes());
        assert!(ran.code == 0 || ran.err.contains("no plain file"), "{path:?} {ran:#?}");
        fs::remove_file(&path).unwrap();
        fs::rename(&kept, &path).unwrap();
        home.run(["verify"]).good();
    }
}
