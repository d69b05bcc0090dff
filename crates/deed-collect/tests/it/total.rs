//! Whatever comes in, nothing panics, and whatever goes out is a record. `PROPTEST_CASES=100000` looks harder.

use deed_collect::{
    Mapping, Source, cloudtrail, entra, github, input, kubernetes, okta, otlp, records, source, ssf,
    teleport, vault,
};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{
    AGENTS_JSON, AGENTS_PB, CLOUDTRAIL, ENTRA, GITHUB, KUBERNETES, KUBERNETES_AKS, KUBERNETES_EKS,
    KUBERNETES_GKE, OKTA, SSF, TELEPORT, VAULT, parse,
};

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
    for source in Source::ALL.iter().copied().filter(|source| *source != Source::Deed) {
        for mapped in records(source, bytes).flatten() {
            parse(&mapped.record);
        }
    }
    let _guess = source::guess(bytes, "x");
}

/// Records of one document.
type Map = fn(&str) -> Vec<Result<String, String>>;

/// Puts a value of another type in the place of a member, or of a member of a member.
fn put_somewhere(event: &mut serde_json::Value, inner: &Index, put: usize) {
    use serde_json::json;
    let values = [
        json!(null),
        json!(7),
        json!("x"),
        json!(""),
        json!(true),
        json!([{}]),
        json!({"arn": 1, "id": "x"}),
    ];
    let names: Vec<String> = event.as_object().expect("an object").keys().cloned().collect();
    let target = &mut event[inner.get(&names)];
    match target.as_object_mut() {
        Some(members) if !members.is_empty() => {
            let names: Vec<String> = members.keys().cloned().collect();
            members.insert(inner.get(&names).clone(), values[put].clone());
        }
        _ => *target = values[put].clone(),
    }
}

proptest! {
    #[test]
    fn changed_cloudtrail(changes in changes()) {
        read(&changed(CLOUDTRAIL.as_bytes(), &changes));
    }

    #[test]
    fn changed_audit_logs(which in 0..6_usize, changes in changes()) {
        let all = [KUBERNETES, KUBERNETES_AKS, KUBERNETES_EKS, KUBERNETES_GKE, VAULT, GITHUB];
        read(&changed(all[which].as_bytes(), &changes));
    }

    #[test]
    fn changed_logs_of_identity_systems(changes in changes()) {
        for fixture in [OKTA, ENTRA, TELEPORT, SSF] {
            read(&changed(fixture.as_bytes(), &changes));
        }
    }

    /// A mapping file that is not understood is refused; one that is gives records.
    #[test]
    fn changed_mapping_files(changes in changes()) {
        let mapping = "name = \"x\"\nsystem = \"s\"\nformat = \"json\"\n[record]\nevent_id = { field = \"uuid\" }\n\
            time = { field = \"published\" }\nexecutor.key = { field = \"actor.id\", prefix = \"o:\" }\n\
            outcome.status = { field = \"outcome.result\", values = { SUCCESS = \"success\" }, else = \"failure\" }\n\
            [[when]]\nmatch = { eventType = { prefix = \"user.\" } }\n[[when.effect]]\nkind = \"grant\"\n\
            scopes = { field = \"target.0.id\", split = \",\" }\n";
        let text = String::from_utf8_lossy(&changed(mapping.as_bytes(), &changes)).into_owned();
        if let Ok(mapping) = Mapping::parse(&text) {
            mapping.records(OKTA.as_bytes()).flatten().for_each(|mapped| drop(parse(&mapped.record)));
        }
        let mapping = Mapping::parse(mapping).expect("a mapping");
        let events = changed(OKTA.as_bytes(), &changes);
        mapping.records(&events[..]).flatten().for_each(|mapped| drop(parse(&mapped.record)));
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
            request.records().iter().flatten().for_each(|record| drop(parse(record)));
        }
        if let Ok(request) = otlp::decode_protobuf::<ExportLogsServiceRequest>(&bytes) {
            request.records().iter().flatten().for_each(|record| drop(parse(record)));
        }
    }

    /// A value of the wrong type anywhere in an event costs what it says, not the event.
    #[test]
    fn members_of_any_type(at in any::<Index>(), inner in any::<Index>(), put in 0..7_usize) {
        let mut events: Vec<serde_json::Value> = serde_json::from_str(CLOUDTRAIL).expect("JSON");
        let at = at.index(events.len());
        put_somewhere(&mut events[at], &inner, put);
        match cloudtrail::map(&events[at].to_string()) {
            Ok(record) => drop(parse(&record)),
            Err(error) => prop_assert!(error.contains("eventID") || error.contains("eventTime"), "{error}"),
        }
    }

    /// The same of the other logs, at any depth.
    #[test]
    fn members_of_any_type_in_audit_logs(which in 0..3_usize, at in any::<Index>(), path in vec(any::<Index>(), 1..5), put in 0..7_usize) {
        let (text, map): (_, Map) = match which {
            0 => (KUBERNETES, kubernetes::map),
            1 => (VAULT, |text| vec![vault::map(text)]),
            _ => (GITHUB, |text| vec![github::map(text)]),
        };
        let events: Vec<_> = input::json_events(text.as_bytes()).flatten().collect();
        let mut event: serde_json::Value = serde_json::from_str(&at.get(&events).1).expect("JSON");
        let values = [serde_json::json!(null), 7.into(), "x".into(), "".into(), true.into(), serde_json::json!([{}]), serde_json::json!({"name": 1})];
        let mut target = &mut event;
        for step in path {
            let names: Vec<String> = target.as_object().map(|o| o.keys().cloned().collect()).unwrap_or_default();
            if names.is_empty() {
                break;
            }
            target = &mut target[step.get(&names)];
        }
        *target = values[put].clone();
        for found in map(&event.to_string()) {
            match found {
                Ok(record) => drop(parse(&record)),
                Err(error) => prop_assert!(error.contains("field `"), "{error}"),
            }
        }
    }

    /// The same of events of other systems.
    #[test]
    fn members_of_any_type_elsewhere(at in any::<Index>(), inner in any::<Index>(), put in 0..7_usize) {
        let lines = |text: &str| -> Vec<serde_json::Value> {
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
        };
        let okta: Vec<serde_json::Value> = serde_json::from_str(OKTA).expect("JSON");
        let entra = ENTRA.lines().filter_map(|line| serde_json::from_str(line.trim_end_matches(',')).ok()).collect();
        type Map = fn(&str) -> Result<String, String>;
        let sources: [(Vec<serde_json::Value>, Map); 4] =
            [(okta, okta::map), (entra, entra::map), (lines(TELEPORT), teleport::map), (lines(SSF), ssf::map)];
        for (events, map) in sources {
            let mut event = at.get(&events).clone();
            put_somewhere(&mut event, &inner, put);
            match map(&event.to_string()) {
                Ok(record) => drop(parse(&record)),
                Err(error) => prop_assert!(error.starts_with("field `"), "{error}"),
            }
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
