//! Records as they are sent, and as they are sealed.

use deed_record::{RecordError, Skeleton, parse_one, parse_records, split_records};

use crate::secret::{holds_any, long_words};

/// The body of a request: split, then each record read.
pub fn record(data: &[u8]) {
    let words = long_words(data);
    let pieces = match split_records(data) {
        Ok(pieces) => pieces,
        Err(error) => return tells_nothing(&error, &words),
    };
    let sum: usize = pieces.iter().map(|piece| piece.len()).sum();
    assert!(sum <= data.len(), "the pieces are cut out of the body");
    let mut all_good = true;
    for piece in &pieces {
        let sent = parse_one(piece, false);
        match &sent {
            Ok(_) => assert_eq!(parse_one(piece, true), sent, "Deed itself may write what others may"),
            Err(error) => tells_nothing(error, &words),
        }
        all_good &= sent.is_ok();
        let Ok(ours) = parse_one(piece, true) else { continue };
        let written = serde_json::to_string(&ours).expect("a submission serialises");
        assert_eq!(parse_one(&written, true).as_ref(), Ok(&ours), "{written}");
    }
    match parse_records(data, false) {
        Ok(records) => assert!(all_good && records.len() == pieces.len()),
        Err(error) => assert!(!all_good && error.index < pieces.len(), "{error}"),
    }
}

/// A sealed record.
pub fn skeleton(data: &[u8]) {
    let skeleton = match Skeleton::parse(data) {
        Ok(skeleton) => skeleton,
        Err(error) => return tells_nothing(&error, &long_words(data)),
    };
    let mut sealed = Vec::new();
    skeleton.write_canonical(&mut sealed);
    assert_eq!(Skeleton::parse(&sealed).as_ref(), Ok(&skeleton), "{}", sealed.escape_ascii());
    // A second opinion on RFC 8785.
    let value: serde_json::Value = serde_json::from_slice(&sealed).expect("JSON");
    let canonical = serde_json_canonicalizer::to_vec(&value).expect("canonical");
    assert_eq!(sealed.escape_ascii().to_string(), canonical.escape_ascii().to_string());
    // INVARIANT D13: a reader that keeps the other of two members of one name would see another record.
    let members = |json: &[u8]| structure(json).filter(|byte| *byte == b':').count();
    let nulls = String::from_utf8_lossy(data).contains("null");
    assert!(nulls || members(data) >= members(&sealed));
    let names = serde_json::from_slice::<serde_json::Value>(data).map_or(0, |value| count_names(&value));
    assert_eq!(names, members(data), "a member stands twice: {}", data.escape_ascii());
}

/// The bytes of JSON text that stand outside its strings.
pub(crate) fn structure(json: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let (mut in_string, mut escaped) = (false, false);
    json.iter().copied().filter(move |byte| {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            return false;
        }
        in_string = *byte == b'"';
        !in_string
    })
}

fn count_names(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => items.iter().map(count_names).sum(),
        serde_json::Value::Object(members) => {
            members.len() + members.values().map(count_names).sum::<usize>()
        }
        _ => 0,
    }
}

/// INVARIANT D9: an error names a place and says what was expected, and quotes nothing that may be a secret.
fn tells_nothing(error: &RecordError, words: &[&str]) {
    let text = error.to_string();
    assert!(text.len() < 2000, "{text}");
    assert!(!holds_any(&text, words), "{text}");
}
