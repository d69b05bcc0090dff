//! `deed import --follow`.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use crate::{
    import::numbers,
    support::{Home, Ran, finish, record, signal},
};

/// A run that follows `log` in the home's folder.
fn follow(home: &Home) -> Child {
    home.command(["import", "--json", "--follow", "deed", home.path("log").to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Writes the records `numbers` behind what is in the file `name`.
fn write(home: &Home, name: &str, numbers: std::ops::Range<u64>) {
    let lines: String = numbers.map(|number| record(number) + "\n").collect();
    write_text(home, name, &lines);
}

fn write_text(home: &Home, name: &str, text: &str) {
    let file = OpenOptions::new().create(true).append(true).open(home.path(name));
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

/// Waits until the log holds `count` records.
fn until_recorded(home: &Home, count: usize) {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let found = home.run(["find", "--json", "--limit", "5000"]);
        let now = if found.code == 0 { found.json_lines().len() } else { 0 };
        if now == count {
            return;
        }
        assert!(now < count && Instant::now() < end, "{now} of {count} are there");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn end(child: Child) -> Ran {
    signal(&child, "INT");
    finish(child.wait_with_output().unwrap()).good()
}

#[test]
fn what_is_written_is_recorded_as_it_comes() {
    let home = Home::new();
    // The file need not be there yet.
    let child = follow(&home);
    write(&home, "log", 0..3);
    until_recorded(&home, 3);
    // A line that is not finished waits for its end.
    let line = record(3);
    write_text(&home, "log", &line[..20]);
    std::thread::sleep(Duration::from_millis(600));
    until_recorded(&home, 3);
    write_text(&home, "log", &format!("{}\n{{\"kind\":\"observation\"}}\n", &line[20..]));
    until_recorded(&home, 4);
    // Given another name, it is read to its end, and the next one under its name from the start.
    fs::rename(home.path("log"), home.path("log.1")).unwrap();
    write(&home, "log.1", 4..6);
    write(&home, "log", 6..9);
    until_recorded(&home, 9);
    write(&home, "log.1", 9..10);
    until_recorded(&home, 10);
    // Cut short, it is read from the start.
    fs::write(home.path("log"), record(10) + "\n").unwrap();
    until_recorded(&home, 11);
    let ran = end(child);
    assert_eq!(numbers(&ran), [12, 11, 0, 1]);
    assert_eq!((&ran.json()["complete"], &ran.json()["rejected"][0]["line"]), (&true.into(), &5.into()));
    home.run(["verify"]).good();
}

#[test]
fn it_goes_on_where_it_was_killed() {
    let home = Home::new();
    let child = follow(&home);
    write(&home, "log", 0..700);
    until_recorded(&home, 700);
    // Once these are there, the position behind the first ones was kept.
    write(&home, "log", 700..705);
    until_recorded(&home, 705);
    signal(&child, "KILL");
    child.wait_with_output().unwrap();
    // Meanwhile it is written on, and rotated.
    write(&home, "log", 705..710);
    fs::rename(home.path("log"), home.path("log.1")).unwrap();
    write(&home, "log", 710..720);
    let child = follow(&home);
    until_recorded(&home, 720);
    let [events, recorded, duplicates, rejected] = numbers(&end(child));
    assert_eq!((recorded, rejected, events), (15, 0, 15 + duplicates));
    assert!(duplicates <= 5, "{duplicates} were read again");
    // Nothing new: nothing is read.
    let child = follow(&home);
    write(&home, "log", 720..721);
    until_recorded(&home, 721);
    let last = numbers(&end(child));
    assert_eq!((last[1], last[3]), (1, 0));
    assert!(last[2] <= 10, "{last:?}");
    home.run(["verify"]).good();
}

#[test]
fn standard_input_has_an_end_of_its_own() {
    Home::new().run(["import", "--follow", "deed", "-"]).bad(2, &["standard input cannot be followed"]);
}
