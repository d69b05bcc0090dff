//! Whatever comes in, nothing panics, and whatever goes out is a record. `PROPTEST_CASES=100000` looks harder.

use deed_collect::{Source, cloudtrail, input, otlp, records, source};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{AGENTS_JSON, AGENTS_PB, CLOUDTRAIL, parse};

/// What to do with some byte of the input.
#[derive(Clone, Debug)]
enum Change {
    Cut,
    Put(u8),
    Remove,
    Double(Index),
}

fn changes() -> impl Strategy<Value = Vec<(Index, Change)>> {
    let structural = prop::sample::select(&b"{}[]\":,\\\n0-ne\xff\x00 "[..]);
    let change = prop_oneof![
        1 => Just(Change::Cut),
        4 => structural.prop_map(Change::Put),
        2 => any::<u8>().prop_map(Change::Put),
        3 => Just(Change::Remove),
        2 => any::<Index>().prop_map(Change::Double),
    ];
    vec((any::<Index>(), change), 1..8)
}

fn changed(input: &[u8], changes: &[(Index, Change)]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for (at, change) in changes {
        if bytes.is_empty() {
            break;
        }
        let at = at.index(bytes.len());
        match change {
            Change::Cut => bytes.truncate(at),
            Change::Put(byte) => bytes[at] = *byte,
            Change::Remove => drop(bytes.remove(at)),
            Change::Double(to) => {
                let piece = bytes[at..bytes.len().min(at + 40)].to_vec();
                let to = to.index(bytes.len());
                bytes.splice(to..to, piece);
            }
        }
    }
    bytes
}

/// Reads `bytes` as every source; every record that comes out must be one.
fn read(bytes: &[u8]) {
    for source in [Source::CloudTrail, Source::Otlp] {
        for mapped in records(source, bytes).flatten() {
            parse(&mapped.record);
        }
    }
    let _guess = source::guess(bytes, "x");
}

proptest! {
    #[test]
    fn changed_cloudtrail(changes in changes()) {
        read(&changed(CLOUDTRAIL.as_bytes(), &changes));
    }

    #[test]
    fn changed_otlp_json(changes in changes()) {
        let bytes = changed(AGENTS_JSON.as_bytes(), &changes);
        read(&bytes);
        if let Ok(request) = otlp::decode_json::<ExportLogsServiceRequest>(&bytes) {
            request.records().iter().flatten().for_each(|record| drop(parse(record)));
        }
    }

    #[test]
    fn changed_otlp_protobuf(changes in changes()) {
        let bytes = changed(AGENTS_PB, &changes);
        read(&bytes);
        if let Ok(request) = otlp::decode_protobuf::<ExportTraceServiceRequest>(&bytes) {
            otlp::spans(&request).iter().flatten().for_each(|record| drop(parse(record)));
        }
        if let Ok(request) = otlp::decode_protobuf::<ExportLogsServiceRequest>(&bytes) {
            otlp::logs(&request).iter().flatten().for_each(|record| drop(parse(record)));
        }
    }

    /// A value of the wrong type anywhere in an event costs what it says, not the event.
    #[test]
    fn members_of_any_type(at in any::<Index>(), inner in any::<Index>(), put in 0..7_usize) {
        let mut events: Vec<serde_json::Value> = serde_json::from_str(CLOUDTRAIL).expect("JSON");
        let event = at.get(&events).clone();
        let at = at.index(events.len());
        let values = [serde_json::json!(null), 7.into(), "x".into(), "".into(), true.into(), serde_json::json!([{}]), serde_json::json!({"arn": 1})];
        let names: Vec<String> = event.as_object().expect("an object").keys().cloned().collect();
        let name = inner.get(&names);
        let target = &mut events[at][name];
        match target.as_object_mut() {
            Some(members) if !members.is_empty() => {
                let names: Vec<String> = members.keys().cloned().collect();
                members.insert(inner.get(&names).clone(), values[put].clone());
            }
            _ => *target = values[put].clone(),
        }
        match cloudtrail::map(&events[at].to_string()) {
            Ok(record) => drop(parse(&record)),
            Err(error) => prop_assert!(error.contains("eventID") || error.contains("eventTime"), "{error}"),
        }
    }

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..300)) {
        read(&bytes);
    }

    /// However the input is cut into pieces, the same comes out.
    #[test]
    fn pieces_do_not_matter(changes in changes(), piece in 1..50_usize) {
        let bytes = changed(CLOUDTRAIL.as_bytes(), &changes);
        let of = |piece| input::json_events(std::io::BufReader::with_capacity(piece, &bytes[..])).collect::<Vec<_>>();
        prop_assert_eq!(of(piece), of(1 << 20));
    }
}
