//! `kill -9` of the server under load, at random moments. A dozen times here; as often as one likes with
//! `DEED_CRASH_ROUNDS=300 cargo test -p deed --test it crash -- --nocapture`.

use std::{
    collections::BTreeMap,
    fs,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::support::{Home, Serving, finish, record};

/// Receipts by id: the leaf.
type Receipts = Mutex<BTreeMap<String, u64>>;

#[test]
fn nothing_acknowledged_is_lost_however_often_the_server_is_killed() {
    let rounds = std::env::var("DEED_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(12);
    let home = Arc::new(Home::new());
    fs::create_dir(home.path("kept")).unwrap();
    let receipts: Arc<Receipts> = Arc::default();
    let sent = Arc::new(AtomicU64::new(0));
    for round in 0..rounds {
        let serving = home.serve(&[]);
        keep_checkpoint(&home, &serving);
        let over = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..3)
            .map(|_| sender(home.clone(), serving.url(), receipts.clone(), sent.clone(), over.clone()))
            .collect();
        // Anywhere between the first append and some hundred of them.
        thread::sleep(Duration::from_millis(20 + random() % 900));
        keep_checkpoint(&home, &serving);
        serving.kill();
        over.store(true, Ordering::Relaxed);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        check(&home, &receipts, round);
    }
    println!("{rounds} rounds, {} records acknowledged", receipts.lock().unwrap().len());
}

/// Whoever makes a store may die over it: the next one finishes, or makes it again.
#[test]
fn a_store_is_made_however_often_its_maker_is_killed() {
    let home = Home::new();
    let file = home.write("r.ndjson", record(1));
    for _ in 0..30 {
        let mut maker = home
            .command(["append", "--json", file.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while !home.store().join("keys/keys.redb").exists() && maker.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_micros(200));
        }
        thread::sleep(Duration::from_micros(random() % 12_000));
        // It may have been done before.
        drop(maker.kill());
        drop(maker.wait_with_output().unwrap());
        home.run(["append", file.to_str().unwrap()]).good();
        home.run(["verify"]).good();
        fs::remove_dir_all(home.store()).unwrap();
    }
}

/// Appends small batches until the server is gone, and notes every receipt.
fn sender(
    home: Arc<Home>,
    url: String,
    receipts: Arc<Receipts>,
    sent: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            let from = sent.fetch_add(20, Ordering::Relaxed);
            let batch: String = (from..from + 20).map(|number| record(number) + "\n").collect();
            let file = home.write(&format!("batches/{from}"), batch);
            let mut command = home.command(["append", "--json", "--server", &url, file.to_str().unwrap()]);
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            // Whoever waits for a server that is gone is not waited for.
            let ran = loop {
                if over.load(Ordering::Relaxed) && child.try_wait().unwrap().is_none() {
                    thread::sleep(Duration::from_millis(50));
                    if child.try_wait().unwrap().is_none() {
                        child.kill().unwrap();
                    }
                }
                if child.try_wait().unwrap().is_some() {
                    break finish(child.wait_with_output().unwrap());
                }
                thread::sleep(Duration::from_millis(2));
            };
            if ran.code == 0 {
                note(&receipts, &ran.json()["receipts"]);
            }
            fs::remove_file(file).unwrap();
        }
    })
}

fn note(receipts: &Receipts, answer: &Value) {
    let mut receipts = receipts.lock().unwrap();
    for receipt in answer.as_array().unwrap() {
        let before =
            receipts.insert(receipt["id"].as_str().unwrap().to_owned(), receipt["index"].as_u64().unwrap());
        assert_eq!(before, None, "two receipts for one record: {receipt}");
    }
}

/// Keeps the checkpoint that the server shows now.
fn keep_checkpoint(home: &Home, serving: &Serving) {
    let Ok(note) = fs::read(home.store().join("log/checkpoint")) else { return };
    let size = String::from_utf8_lossy(&note).lines().nth(1).unwrap().to_owned();
    fs::write(home.path("kept").join(&size), &note).unwrap();
    drop(serving.url());
}

/// Everything acknowledged is there with its receipt, once; the log continues every checkpoint ever seen.
fn check(home: &Home, receipts: &Receipts, round: u64) {
    let kept: Vec<String> = fs::read_dir(home.path("kept"))
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    // Opens the store, which recovers it, and signs what is there.
    let found = home.run(["find", "--json", "--limit", "1000000"]).good().json_lines();
    let mut arguments = vec!["verify".to_owned(), "--json".to_owned()];
    kept.iter().for_each(|path| arguments.extend(["--since".to_owned(), path.clone()]));
    let report = home.run(&arguments);
    assert_eq!(report.code, 0, "round {round}: {report:#?}");
    assert_eq!(report.json()["size"].as_u64().unwrap(), found.len() as u64, "round {round}");
    let receipts = receipts.lock().unwrap();
    let ids: BTreeMap<&str, ()> = found.iter().map(|row| (row["id"].as_str().unwrap(), ())).collect();
    assert_eq!(ids.len(), found.len(), "round {round}: a record stands twice");
    // Newest first, one record a leaf: the place in the list is the leaf.
    for (from_last, row) in found.iter().enumerate() {
        let index = (found.len() - 1 - from_last) as u64;
        if let Some(promised) = receipts.get(row["id"].as_str().unwrap()) {
            assert_eq!(index, *promised, "round {round}: {row}");
        }
    }
    for id in receipts.keys() {
        assert!(ids.contains_key(id.as_str()), "round {round}: acknowledged record {id} is gone");
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}
