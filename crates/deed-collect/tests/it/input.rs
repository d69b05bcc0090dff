//! Input of every shape, whole and broken.

use std::io::{self, BufReader, Read, Write};

use deed_collect::{Rejected, Source, input, records};
use flate2::{Compression, write::GzEncoder};

type Found = Vec<Result<(u64, String), (u64, String)>>;

/// Everything that is found when the input comes in pieces of `piece` bytes.
fn read_in(text: &[u8], piece: usize) -> Found {
    input::json_events(BufReader::with_capacity(piece, text))
        .map(|event| event.map_err(|Rejected { line, error }| (line, error)))
        .collect()
}

/// The same however the input is cut into pieces.
fn read(text: &[u8]) -> Found {
    let found = read_in(text, 64 * 1024);
    for piece in [1, 2, 3, 7] {
        assert_eq!(read_in(text, piece), found, "in pieces of {piece}");
    }
    found
}

fn events(text: &[u8]) -> Vec<(u64, String)> {
    read(text).into_iter().map(|event| event.expect("an event")).collect()
}

fn at(line: u64, text: &str) -> (u64, String) {
    (line, text.to_owned())
}

#[test]
fn the_same_events_in_every_shape() {
    let both = |first, second| vec![at(first, r#"{"a":1}"#), at(second, r#"{"b":[{"c":"]}"}]}"#)];
    for (text, lines) in [
        ("{\"a\":1}\n{\"b\":[{\"c\":\"]}\"}]}\n", (1, 2)),
        ("{\"a\":1}{\"b\":[{\"c\":\"]}\"}]}", (1, 1)),
        ("\n\n{\"a\":1}\r\n\r\n{\"b\":[{\"c\":\"]}\"}]}", (3, 5)),
        ("[{\"a\":1},{\"b\":[{\"c\":\"]}\"}]}]", (1, 1)),
        ("[\n  {\"a\":1},\n  {\"b\":[{\"c\":\"]}\"}]}\n]\n", (2, 3)),
        ("{\"Records\":[{\"a\":1},{\"b\":[{\"c\":\"]}\"}]}]}", (1, 1)),
        (
            "{ \"NextToken\" : \"x\", \"Events\" : [\n{\"a\":1},\n{\"b\":[{\"c\":\"]}\"}]}\n], \"more\": [{}] }\n",
            (2, 3),
        ),
        ("{\"Records\":[{\"a\":1}]}\n{\"Records\":[{\"b\":[{\"c\":\"]}\"}]}]}\n", (1, 2)),
        ("\u{feff}[{\"a\":1},\n{\"b\":[{\"c\":\"]}\"}]}]", (1, 2)),
        ("\u{1e}{\"a\":1}\n\u{1e}{\"b\":[{\"c\":\"]}\"}]}\n", (1, 2)),
    ] {
        assert_eq!(events(text.as_bytes()), both(lines.0, lines.1), "{text}");
    }
    let pretty = "{\n  \"a\": 1\n}\n{\n  \"b\": {\n    \"Records\": [1]\n  }\n}\n";
    assert_eq!(
        events(pretty.as_bytes()),
        [at(1, "{\n  \"a\": 1\n}"), at(4, "{\n  \"b\": {\n    \"Records\": [1]\n  }\n}")]
    );
    for nothing in ["", "  \n", "[]", "{\"Records\":[]}", "\u{feff}"] {
        assert_eq!(read(nothing.as_bytes()), [], "{nothing:?}");
    }
}

#[test]
fn a_list_of_an_event_is_no_list_of_events() {
    let all = |text: &'static str, names: &'static [&'static str]| -> Vec<(u64, String)> {
        let events = input::json_events(text.as_bytes()).listed_under(names);
        events.map(|event| event.expect("an event")).collect()
    };
    let lines = "{\"a\":1,\"items\":[]}\n{\"value\" : [{\"b\":2}]}\n";
    assert_eq!(all(lines, &[]), [at(1, "{\"a\":1,\"items\":[]}"), at(2, "{\"value\" : [{\"b\":2}]}")]);
    assert_eq!(all(lines, &["items"]), [at(2, "{\"value\" : [{\"b\":2}]}")]);
    assert_eq!(all("{\"items\":[{\"value\":[{}]}]}", &["items"]), [at(1, "{\"value\":[{}]}")]);
    assert_eq!(all("{\"my-items\":[{}]}", &["items"]), [at(1, "{\"my-items\":[{}]}")]);

    let event =
        r#"{"action":"git.push","@timestamp":1795168800123,"org":"acme","items":[],"value":[{"x":1}]}"#;
    assert_eq!(records(Source::GitHub, event.as_bytes()).filter(Result::is_ok).count(), 1);
}

#[test]
fn a_broken_line_costs_itself_only() {
    for broken in ["{\"a\":", "{\"a\":\"x", "{\"a\":1", "{\"a\":[1,2", "{\"a\":{\"b\":1}"] {
        let text = format!("{{\"n\":1}}\n{broken}\n{{\"n\":3}}\n{{\"n\":4}}\n");
        let found = read(text.as_bytes());
        let good: Vec<_> = found.iter().flatten().cloned().collect();
        let bad: Vec<_> = found.iter().filter_map(|f| f.as_ref().err()).map(|(line, _)| *line).collect();
        assert_eq!(good, [at(1, "{\"n\":1}"), at(3, "{\"n\":3}"), at(4, "{\"n\":4}")], "{broken}: {found:?}");
        assert_eq!(bad, [2], "{broken}: {found:?}");
    }
    // What only the parser sees is left to it.
    assert_eq!(events(b"{\"a\":}\n{}\n"), [at(1, "{\"a\":}"), at(2, "{}")]);
    let found = read(b"{\"a\":1}\nwhat is this\nand this\n\n42\n \"x\"\n\xc3\xa9\n{\"b\":2}\n");
    let refusals: Vec<_> = found.iter().filter_map(|found| found.as_ref().err().cloned()).collect();
    assert_eq!((found.len(), refusals.len()), (7, 5), "{found:?}");
    for ((line, error), (expected, what)) in
        refusals.iter().zip([(2, "`w`"), (3, "`a`"), (5, "a number"), (6, "a string"), (7, "the byte 0xc3")])
    {
        assert_eq!((*line, &**error), (expected, &*format!("expected a JSON object, found {what}")));
    }
}

/// Every line of a file is an event's or named: those that are taken for the rest of a broken event, too.
#[test]
fn a_line_broken_over_several_names_them_all() {
    let text = b"{\"n\":1}\n{\"n\":\"2\nand\nmore\"}\n{\"n\":3}\n{\"n\":\"4\n\"}\n{\"n\":5}\n{\"n\":\"6\nend";
    let found = read(text);
    let good: Vec<_> = found.iter().flatten().map(|(line, _)| *line).collect();
    assert_eq!(good, [1, 5, 8], "{found:?}");
    let bad: Vec<_> = found.into_iter().filter_map(Result::err).collect();
    let why = "not JSON: a string runs over the end of its line";
    assert_eq!(
        bad,
        [
            (2, format!("{why}; lines 3 to 4 are taken for the rest of it")),
            (6, format!("{why}; line 7 is taken for the rest of it")),
            (9, format!("{why}; line 10 is taken for the rest of it")),
        ]
    );
    // Indented, and the following ones not: none of them is a part of it.
    let found = read(b"  {\"n\":\"1\n    {\"of\":\"it\"}\n{\"n\":2}\n{\"n\":3}\n");
    let lines: Vec<_> = found.iter().map(|f| f.as_ref().map(|f| f.0).map_err(|f| f.0)).collect();
    assert_eq!(lines, [Err(1), Ok(3), Ok(4)], "{found:?}");
    assert!(
        matches!(&found[0], Err((_, error)) if error.ends_with("line 2 is taken for the rest of it")),
        "{found:?}"
    );
    let found = read(b"  {\"n\":[1\n{\"n\":2}\n{\"n\":3}\n");
    assert_eq!(found.iter().filter(|f| f.is_ok()).count(), 2, "{found:?}");
}

#[test]
fn many_broken_lines_take_no_longer_than_good_ones() {
    // The first line swallows all that follows until it ends; so would every other.
    let text = format!("{{\"a\":[1,\n{}", "{\"b\":[1,\n{\"x\":1}\n".repeat(20_000));
    let found: Vec<_> = input::json_events(text.as_bytes()).collect();
    assert_eq!(found.iter().filter(|f| f.is_ok()).count(), 20_000);
    let swallowed = format!("{{\"a\":[1,\n{}", "{\"x\":1},\n".repeat(100_000));
    assert_eq!(input::json_events(swallowed.as_bytes()).filter(Result::is_ok).count(), 100_000);
}

#[test]
fn a_broken_event_of_a_list_costs_itself_only() {
    let text = b"[\n  {\n    \"n\": 1\n  },\n  {\n    \"n\": \"2\n  },\n  {\n    \"n\": 3\n  },\n  7,\n  [{}],\n  \"x\",\n  {}\n]\n";
    let found = read(text);
    let lines: Vec<_> = found
        .iter()
        .map(|f| match f {
            Ok((line, _)) => (*line, true),
            Err((line, _)) => (*line, false),
        })
        .collect();
    assert_eq!(lines, [(2, true), (5, false), (8, true), (11, false), (12, false), (13, false), (14, true)]);
    // Where events share a line nothing tells where the next one begins.
    let found = read(b"[{\"n\":1},{\"n\":\"2\n},{\"n\":3}]");
    assert_eq!(found.len(), 2);
    assert!(matches!(&found[1], Err((1, error)) if error.contains("nothing behind it")));
}

#[test]
fn bytes_that_are_no_utf_8_cost_their_event_only() {
    let found = read(b"{\"n\":1}\n{\"n\":\"\xff\"}\n{\"n\":3}\n");
    assert_eq!(found[0], Ok(at(1, "{\"n\":1}")));
    assert_eq!(found[1], Err((2, "byte 6 of the event is not UTF-8; where it is Latin-1, `iconv -f ISO-8859-1 -t UTF-8` makes UTF-8 of it".to_owned())));
    assert_eq!(found[2], Ok(at(3, "{\"n\":3}")));
    for wide in [&b"\xff\xfe{\0}\0"[..], b"\xfe\xff\0{\0}", b"\0\0\0\0"] {
        let found = read(wide);
        assert!(matches!(&found[..], [Err((1, error))] if error.contains("UTF-8")), "{found:?}");
    }
}

#[test]
fn what_a_power_cut_leaves_costs_itself_only() {
    let lines = |text: &[u8]| -> Vec<(u64, bool)> {
        let line = |found: &Result<(u64, String), (u64, String)>| match found {
            Ok((line, _)) => (*line, true),
            Err((line, _)) => (*line, false),
        };
        read(text).iter().map(line).collect()
    };
    for (text, expected) in [
        (&b"{\"n\":1}\n\0\0\0{\"n\":2}\n{\"n\":3}\n"[..], &[(1, true), (2, false), (2, true), (3, true)][..]),
        (b"\0\0{\"n\":1}\n{\"n\":2}\n", &[(1, false), (1, true), (2, true)]),
        (b"{\"n\":1}\n\xff\xfe what\n{\"n\":3}\n", &[(1, true), (2, false), (3, true)]),
        (b"[{\"n\":1},\n\0\0{\"n\":2},{\"n\":3}]", &[(1, true), (2, false), (2, true), (2, true)]),
        // A torn event behind something else on its line.
        (b"\0\0{\"n\":\n{\"n\":2}\n", &[(1, false), (1, false), (2, true)]),
        (b"{\"n\":1}{\"n\":\n{\"n\":2}\n", &[(1, true), (1, false), (2, true)]),
    ] {
        assert_eq!(lines(text), expected, "{}", text.escape_ascii());
    }
    // A file in UTF-16 is no list of torn lines.
    let wide: Vec<u8> = "{\"n\":1}\n".repeat(50).encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(lines(&[b"\xff\xfe", &wide[..]].concat()).len() < 5);
}

#[test]
fn a_file_cut_off_gives_what_was_whole() {
    let text = b"{\"Records\":[{\"n\":1},{\"n\":2},{\"n\":3}]}";
    for end in 0..text.len() {
        let found = read(&text[..end]);
        let whole = found.iter().filter(|f| f.is_ok()).count();
        assert_eq!(whole, [19, 27, 35].iter().filter(|e| **e <= end).count(), "{end}: {found:?}");
        let rejected = found.len() - whole;
        assert_eq!(rejected, usize::from(end > 0), "{end}: {found:?}");
    }
}

#[test]
fn an_event_beyond_the_limit_is_passed_over() {
    let large = format!("{{\"n\":\"{}\"}}", "x".repeat(100));
    let text = format!("[{{\"n\":1}},{large},{{\"n\":3}}]");
    let found: Vec<_> = input::json_events_up_to(text.as_bytes(), 64).collect();
    assert!(
        matches!(&found[..], [Ok(_), Err(Rejected { line: 1, error }), Ok(_)] if error.contains("larger than 64 bytes")),
        "{found:?}"
    );
    let deep = format!("{{\"n\":1}}\n{{\"n\":{}{}}}\n{{\"n\":3}}", "[".repeat(500), "]".repeat(500));
    let found = read(deep.as_bytes());
    assert!(
        matches!(&found[..], [Ok(_), Err((2, error)), Ok(_)] if error.contains("nests deeper than 128")),
        "{found:?}"
    );
}

#[test]
fn a_list_that_expands_without_end_stays_small() {
    // 64 MB of one event and as much of white space, out of half a megabyte.
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    bomb.write_all(b"[{\"n\":1},{\"n\":\"").expect("in memory");
    for _ in 0..64 {
        bomb.write_all(&[b'x'; 1 << 20]).expect("in memory");
    }
    bomb.write_all(b"\"},").expect("in memory");
    for _ in 0..64 {
        bomb.write_all(&[b' '; 1 << 20]).expect("in memory");
    }
    bomb.write_all(b"{\"n\":3}]").expect("in memory");
    let bomb = bomb.finish().expect("in memory");
    assert!(bomb.len() < 4 << 20);
    let found: Vec<_> = input::json_events(input::open(&bomb[..])).map(|e| e.is_ok()).collect();
    assert_eq!(found, [true, false, true]);
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).expect("in memory");
    encoder.finish().expect("in memory")
}

#[test]
fn compressed_input_is_known_by_its_first_bytes() {
    let whole = [gzip(b"{\"n\":1}\n"), gzip(b"{\"n\":2}\n")].concat();
    let all = |bytes: &[u8]| input::json_events(input::open(bytes)).collect::<Vec<_>>();
    assert_eq!(all(&whole).len(), 2);
    assert_eq!(all(b"{\"n\":1}").len(), 1);
    assert_eq!(all(b"").len(), 0);
    assert_eq!(all(b"{").len(), 1);

    // Cut off or damaged: what came before, and one rejection.
    let text: Vec<u8> = (0..5000).flat_map(|n| format!("{{\"n\":{n}}}\n").into_bytes()).collect();
    let packed = gzip(&text);
    for end in [3, 20, packed.len() / 2, packed.len() - 1] {
        let found = all(&packed[..end]);
        let failed = found.iter().filter(|f| f.is_err()).count();
        assert_eq!(failed, 1, "cut at {end}");
        assert!(found.last().is_some_and(Result::is_err));
    }
    let mut flipped = packed.clone();
    let end = flipped.len() - 6;
    flipped[end] ^= 1;
    let found = all(&flipped);
    assert_eq!(found.len(), 5001, "the checksum stands behind everything");
    let told = found.last().and_then(|found| found.as_ref().err()).expect("a rejection");
    assert!(told.error.contains("checksum is wrong: any of what was read"), "{told:?}");
}

#[test]
fn every_event_before_the_damage_is_given() {
    let all = |bytes: &[u8]| input::json_events(input::open(bytes)).collect::<Vec<_>>();
    let text: Vec<u8> =
        (0..900).flat_map(|n| format!("{{\"n\":{n},\"of\":\"900\"}}\n").into_bytes()).collect();
    let packed = gzip(&text);
    for end in (packed.len() / 8..packed.len()).step_by(97) {
        // As much as a patient reader can have, one byte at a time.
        let mut plain = Vec::new();
        let mut reader = flate2::read::GzDecoder::new(&packed[..end]);
        let mut byte = [0];
        while let Ok(1) = reader.read(&mut byte) {
            plain.push(byte[0]);
        }
        let whole = plain.iter().filter(|byte| **byte == b'\n').count();
        let found = all(&packed[..end]);
        assert_eq!(found.iter().filter(|found| found.is_ok()).count(), whole, "cut at {end}");
        assert_eq!(found.len(), whole + 1);
        let told = found.last().and_then(|found| found.as_ref().err()).expect("a rejection");
        assert_eq!(told.error, "cannot be read on: the compressed data is cut off");
    }
    // Damage in the middle: a stored block whose length is not what its complement says.
    let mut stored = GzEncoder::new(Vec::new(), Compression::none());
    stored.write_all(&text).expect("in memory");
    stored.flush().expect("in memory");
    let good = stored.get_ref().len();
    stored.write_all(&text).expect("in memory");
    let mut damaged = stored.finish().expect("in memory");
    damaged[good + 2] ^= 0x55;
    let found = all(&damaged);
    assert_eq!(found.iter().filter(|found| found.is_ok()).count(), 900);
    let told = found.last().and_then(|found| found.as_ref().err()).expect("a rejection");
    assert_eq!(told.error, "cannot be read on: compressed data: it is damaged here");
    // What is no member behind a member.
    let found = all(&[gzip(b"{\"n\":1}\n"), b"what is this?".to_vec()].concat());
    assert!(matches!(&found[..], [Ok(_), Err(_)]), "{found:?}");
}

#[test]
fn a_failing_reader_is_one_rejection() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let text = &b"{\"n\":1}\n{\"n\":"[..];
    let found: Vec<_> = input::json_events(input::open(text.chain(Broken))).collect();
    assert_eq!(found[0], Ok(at(1, "{\"n\":1}")));
    assert_eq!(
        found[1..],
        [Err(Rejected { line: 2, error: "cannot be read on: the disk is gone".to_owned() })]
    );
    assert_eq!(input::json_events(input::open(Broken)).count(), 1);
}
