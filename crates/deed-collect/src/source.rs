//! Which system wrote a file.

use std::{fmt, str::FromStr};

use deed_record::Kind;

use crate::{cloudtrail::event::AGGREGATED, ssf};

/// A system whose logs are read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// AWS CloudTrail: delivery files, `lookup-events`, the console's download, EventBridge.
    CloudTrail,
    /// Kubernetes audit events, plain and as the clouds wrap them.
    Kubernetes,
    /// Audit devices of HashiCorp Vault and OpenBao.
    Vault,
    /// GitHub's audit log of an organisation or enterprise.
    GitHub,
    /// Okta's System Log: the API's arrays, one event a line, log streams.
    Okta,
    /// Microsoft Entra ID: sign-ins, audit events and calls of Microsoft Graph, as Graph or Azure gives them.
    Entra,
    /// Teleport's audit log, as it is written or as its event handler exports it.
    Teleport,
    /// Security event tokens of Shared Signals transmitters: their claims, or JWTs one a line.
    Ssf,
    /// OpenTelemetry exports of traces and logs, protobuf or JSON.
    Otlp,
    /// Records in Deed's own JSON.
    Deed,
}

impl Source {
    /// Every source, in the order of the documentation.
    pub const ALL: &[Source] = &[
        Source::CloudTrail,
        Source::Kubernetes,
        Source::Vault,
        Source::GitHub,
        Source::Okta,
        Source::Entra,
        Source::Teleport,
        Source::Ssf,
        Source::Otlp,
        Source::Deed,
    ];

    /// The name that `deed import` takes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Source::CloudTrail => "cloudtrail",
            Source::Kubernetes => "kubernetes",
            Source::Vault => "vault",
            Source::GitHub => "github",
            Source::Okta => "okta",
            Source::Entra => "entra",
            Source::Teleport => "teleport",
            Source::Ssf => "ssf",
            Source::Otlp => "otlp",
            Source::Deed => "deed",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Source {
    type Err = String;

    /// The error completes "expected …, found …".
    fn from_str(name: &str) -> Result<Self, String> {
        Source::ALL.iter().copied().find(|source| source.as_str() == name).ok_or_else(|| {
            let names: Vec<&str> = Source::ALL.iter().map(|source| source.as_str()).collect();
            format!("expected one of `{}`, found `{}`", names.join("`, `"), name.escape_debug())
        })
    }
}

/// How much of a file [`guess`] looks at, in bytes.
pub const HEAD: usize = 64 * 1024;

/// Who wrote a file that begins with `head` (after decompression, [`HEAD`] bytes at most) and is
/// called `file_name`; `None` where neither tells.
///
/// The content decides. The name counts only where the content is silent, as in an empty file.
pub fn guess(head: &[u8], file_name: &str) -> Option<Source> {
    let head = &head[..head.len().min(HEAD)];
    let has = |name: &str| find(head, format!("\"{name}\"").as_bytes()).is_some();
    // What a caller chose stands deeper in an event than what its system wrote of it.
    let members = members(head);
    let nearest = [
        (Source::Otlp, otlp_depth(&members)),
        (Source::Kubernetes, kubernetes_depth(&members)),
        (Source::CloudTrail, cloudtrail_depth(&members)),
    ];
    let nearest = nearest.into_iter().filter_map(|(source, depth)| Some((depth?, source)));
    if let Some((_, source)) = nearest.min_by_key(|(depth, _)| *depth) {
        return Some(source);
    }
    if has("time") && holds_kind_of_record(head) {
        return Some(Source::Deed);
    }
    if (has("eventType") || has("eventtype")) && has("published") && (has("actor") || has("uuid")) {
        return Some(Source::Okta);
    }
    if has("uid") && has("code") && has("event") && has("time") {
        return Some(Source::Teleport);
    }
    if is_entra(&has) {
        return Some(Source::Entra);
    }
    if ssf::is_token(head) || has("events") && has("iss") && has("jti") {
        return Some(Source::Ssf);
    }
    if is_otlp_protobuf(head) || is_otlp_framed(head) {
        return Some(Source::Otlp);
    }
    if has("request") && has("type") && has("time") && (has("client_token") || has("operation")) {
        return Some(Source::Vault);
    }
    if has("action") && has("actor") && ["@timestamp", "created_at", "_document_id"].into_iter().any(has) {
        return Some(Source::GitHub);
    }
    let name = base_name(file_name);
    if name.contains("_CloudTrail_") {
        return Some(Source::CloudTrail);
    }
    None
}

/// Why a file that begins with `head` is none of events, or `None` where it may be one.
pub fn no_events(head: &[u8]) -> Option<&'static str> {
    let members = members(&head[..head.len().min(HEAD)]);
    let types = || members.iter().filter(|member| member.name == b"eventType");
    let nearest = types().map(|member| member.depth).min()?;
    let sums_up = |member: &Member<'_>| {
        member.depth == nearest && member.text.is_some_and(|text| text == AGGREGATED.as_bytes())
    };
    // An event that a caller could have shaped has an id of its own and a name.
    let is_event = depth_of(&members, "eventID").is_some_and(|depth| depth <= nearest);
    (types().any(sums_up) && !is_event).then_some("aggregated events of CloudTrail, which sum up others")
}

/// Why a file of this name is no log, or `None` where it may be one.
///
/// A folder that was synchronised from a bucket or unpacked holds such files beside the logs.
pub fn no_log(file_name: &str) -> Option<&'static str> {
    let lower = file_name.to_ascii_lowercase();
    let name = base_name(&lower);
    let name = name.strip_suffix(".gz").unwrap_or(name);
    if lower.contains("cloudtrail-digest") {
        return Some("a CloudTrail digest, which holds hashes of log files");
    }
    if name.is_empty() || name.starts_with('.') || matches!(name, "thumbs.db" | "desktop.ini" | "__macosx") {
        return Some("a file of the operating system or of a tool");
    }
    let stem = name.split('.').next().unwrap_or(name);
    if ["readme", "license", "licence", "notice", "copying", "changelog", "authors", "contributing"]
        .iter()
        .any(|word| stem == *word || stem.strip_prefix(word).is_some_and(|rest| rest.starts_with(['-', '_'])))
    {
        return Some("documentation");
    }
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending {
        "md" | "rst" | "html" | "htm" | "pdf" | "doc" | "docx" => Some("documentation"),
        "png" | "jpg" | "jpeg" | "gif" | "svg" | "webp" | "ico" | "bmp" => Some("an image"),
        "sha256" | "sha512" | "md5" | "sig" | "asc" | "pem" | "crt" | "key" => {
            Some("a checksum, signature or key")
        }
        "zip" | "tar" | "tgz" | "7z" | "bz2" | "xz" | "zst" => {
            Some("an archive; unpack it first (only gzip is read)")
        }
        "py" | "rs" | "go" | "js" | "ts" | "sh" | "tf" | "toml" | "yaml" | "yml" | "lock" => {
            Some("source or configuration")
        }
        _ => None,
    }
}

/// Sign-ins, audit events and calls of Microsoft Graph, in Azure's envelope or without one.
fn is_entra(has: &impl Fn(&str) -> bool) -> bool {
    let in_envelope = has("properties")
        && ["AuditLogs", "SignInLogs", "NonInteractiveUserSignInLogs", "ServicePrincipalSignInLogs"]
            .iter()
            .chain(&["ManagedIdentitySignInLogs", "MicrosoftGraphActivityLogs"])
            .any(|category| has(category));
    let is_audit = has("activityDateTime") && (has("initiatedBy") || has("targetResources"));
    let is_sign_in = has("createdDateTime")
        && ["userPrincipalName", "servicePrincipalId", "uniqueTokenIdentifier", "signInEventTypes"]
            .iter()
            .any(|name| has(name));
    in_envelope || is_audit || is_sign_in
}

fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

/// A member of an object somewhere in JSON text.
struct Member<'h> {
    /// In how many objects it is.
    depth: usize,
    name: &'h [u8],
    /// As it stands there, where it is a string.
    text: Option<&'h [u8]>,
}

/// The members of all objects in `head`, as far as it is JSON.
fn members(head: &[u8]) -> Vec<Member<'_>> {
    let (mut members, mut depth, mut at) = (Vec::new(), 0_usize, 0);
    let spaces = |at: usize| at + head[at..].iter().take_while(|b| b.is_ascii_whitespace()).count();
    while let Some(byte) = head.get(at) {
        at += 1;
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                let name = string(&head[at..]);
                at += name.len() + 1;
                let colon = spaces(at.min(head.len()));
                if head.get(colon) == Some(&b':') {
                    at = spaces(colon + 1);
                    let text = (head.get(at) == Some(&b'"')).then(|| string(&head[at + 1..]));
                    at += text.map_or(0, |text| text.len() + 2);
                    members.push(Member { depth, name, text });
                }
            }
            _ => {}
        }
    }
    members
}

impl Member<'_> {
    /// Whether `word` stands in its text.
    fn says(&self, word: &str) -> bool {
        self.text.is_some_and(|text| find(text, word.as_bytes()).is_some())
    }
}

/// What stands before the quote that ends a string.
fn string(rest: &[u8]) -> &[u8] {
    let mut end = 0;
    while let Some(byte) = rest.get(end).filter(|b| **b != b'"') {
        end += if *byte == b'\\' { 2 } else { 1 };
    }
    &rest[..end.min(rest.len())]
}

/// How deep the member `name` is, where it is nearest.
fn depth_of(members: &[Member<'_>], name: &str) -> Option<usize> {
    members.iter().filter(|member| member.name == name.as_bytes()).map(|member| member.depth).min()
}

/// How deep both are.
fn depth_of_both(members: &[Member<'_>], one: &str, other: &str) -> Option<usize> {
    Some(depth_of(members, one)?.max(depth_of(members, other)?))
}

fn otlp_depth(members: &[Member<'_>]) -> Option<usize> {
    ["resourceSpans", "resourceLogs"].iter().filter_map(|name| depth_of(members, name)).min()
}

fn cloudtrail_depth(members: &[Member<'_>]) -> Option<usize> {
    let events =
        [depth_of_both(members, "eventSource", "eventName"), depth_of_both(members, "eventID", "eventTime")];
    // As a text within what CloudWatch Logs puts around it.
    let said = members.iter().filter(|member| {
        member.name == b"message" && member.says("\"eventSource") && member.says("\"eventVersion")
    });
    let said = said.map(|member| member.depth + 1).min();
    events.into_iter().chain([depth_of(members, "CloudTrailEvent"), said]).flatten().min()
}

/// Audit events, plain or as a string in what a cloud puts around them.
fn kubernetes_depth(members: &[Member<'_>]) -> Option<usize> {
    let said = members.iter().filter_map(|member| match member.name {
        b"apiVersion" if member.says("audit.k8s.io/") => Some(member.depth),
        b"category" if member.says("kube-audit") => Some(member.depth),
        // An event within a text is deeper than the text.
        _ if member.says("audit.k8s.io/") => Some(member.depth + 1),
        _ => None,
    });
    let google = members.iter().any(|member| matches!(member.text, Some(b"k8s.io" | b"k8s_cluster")));
    let google = depth_of(members, "protoPayload").filter(|_| google);
    said.chain(depth_of_both(members, "auditID", "stage")).chain(google).min()
}

/// `"kind": "observation"` or another of Deed's own kinds, with any spacing.
fn holds_kind_of_record(head: &[u8]) -> bool {
    let mut rest = head;
    while let Some(at) = find(rest, b"\"kind\"") {
        rest = &rest[at + 6..];
        let text: Vec<u8> = rest.iter().copied().filter(|b| !b.is_ascii_whitespace()).take(24).collect();
        if Kind::ALL.iter().any(|kind| text.starts_with(format!(":\"{kind}\"").as_bytes())) {
            return true;
        }
    }
    false
}

/// Whether `head` begins an export request in protobuf: a list of messages in field 1, each of which
/// holds a resource in its own field 1 or scopes in field 2.
pub(crate) fn is_otlp_protobuf(head: &[u8]) -> bool {
    let [0x0a, rest @ ..] = head else { return false };
    let length = rest.iter().take(5).position(|byte| byte & 0x80 == 0);
    let Some(inside) = length.and_then(|last| rest.get(last + 1..)) else { return false };
    // JSON after an empty line begins with the same bytes, but never holds a tag such as 0x12.
    matches!(inside.first(), Some(0x0a | 0x12)) && inside.contains(&0x12)
}

/// Whether `head` begins with the length of an export request in protobuf, and with the request: what the
/// Collector's file exporter writes.
pub(crate) fn is_otlp_framed(head: &[u8]) -> bool {
    let Some((length, request)) = head.split_first_chunk() else { return false };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    length <= crate::LARGEST_EXPORT && is_otlp_protobuf(&request[..request.len().min(length)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides_and_names_help() {
        assert_eq!(
            guess(
                br#"{"Records":[{"eventVersion":"1.08","eventSource":"s3.amazonaws.com","eventName":"x"}]}"#,
                "x"
            ),
            Some(Source::CloudTrail)
        );
        assert_eq!(guess(br#"{"resourceSpans":[]}"#, "a_CloudTrail_b.json"), Some(Source::Otlp));
        assert_eq!(guess(br#"{"kind": "observation", "time": "2026"}"#, "x.json"), Some(Source::Deed));
        for (head, source) in [
            (r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","time":""}"#, Some(Source::Kubernetes)),
            (r#"{"auditID":"1","stage":"Panic"}"#, Some(Source::Kubernetes)),
            (
                r#"{"logEvents":[{"id":"1","message":"{\"eventVersion\":\"1.11\",\"eventSource\":\"s3.amazonaws.com\"}"}]}"#,
                Some(Source::CloudTrail),
            ),
            (r#"{"protoPayload":{"serviceName":"k8s.io"}}"#, Some(Source::Kubernetes)),
            (r#"{"records":[{"category":"kube-audit"}]}"#, Some(Source::Kubernetes)),
            (r#"{"time":"","type":"request","request":{"operation":"read"}}"#, Some(Source::Vault)),
            (r#"{"action":"git.push","actor":"ann","@timestamp":1}"#, Some(Source::GitHub)),
            (r#"{"kind":"Event","apiVersion":"v1","time":""}"#, None),
            (r#"{"iss":"https://idp.example","jti":"1","iat":1,"events":{"x":{}}}"#, Some(Source::Ssf)),
            ("eyJhbGciOiJFUzI1NiJ9.e30.AA", Some(Source::Ssf)),
            (r#"{"action":"x","actor":"y"}"#, None),
            // What a caller chose decides nothing.
            (
                r#"{"Records":[{"eventSource":"s3","eventName":"x","userAgent":"audit.k8s.io/v1 \"resourceSpans\":","requestParameters":{"resourceSpans":[],"apiVersion":"audit.k8s.io/v1"}}]}"#,
                Some(Source::CloudTrail),
            ),
            (
                r#"{"auditID":"1","stage":"Panic","requestObject":{"eventSource":"s3","eventName":"x","resourceLogs":[]}}"#,
                Some(Source::Kubernetes),
            ),
            (
                r#"{"message":"{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\"}","eventID":"1"}"#,
                Some(Source::Kubernetes),
            ),
        ] {
            assert_eq!(guess(head.as_bytes(), "x.json"), source, "{head}");
        }
        assert_eq!(
            guess(b"", "1111_CloudTrail_eu-west-1_20240801T1330Z_x.json.gz"),
            Some(Source::CloudTrail)
        );
        assert_eq!(guess(b"\x0a\x90\x03\x0a\x20\x12", "x.pb"), Some(Source::Otlp));
        assert_eq!(guess(b"\0\0\x01\x93\x0a\x90\x03\x0a\x20\x12", "x.pb"), Some(Source::Otlp));
        assert_eq!(guess(b"\0\0\x01\x93abc", "x.pb"), None);
        assert_eq!(guess(b"hello\n", "x.log"), None);
    }

    #[test]
    fn what_sums_events_up_is_no_log_of_them() {
        let sums_up = r#"{"Records":[{"eventVersion":"1.0","eventId":"1","eventCategory":"Aggregated","eventType":"AwsAggregatedEvent","summary":{}}]}"#;
        assert!(no_events(sums_up.as_bytes()).is_some());
        for head in [
            r#"{"Records":[{"eventID":"1","eventType":"AwsApiCall","requestParameters":{"eventType":"AwsAggregatedEvent"}}]}"#,
            r#"{"eventID":"1","eventType":"AwsAggregatedEvent"}"#,
            r#"{"eventType":"user.session.start","uuid":"1"}"#,
            "hello",
        ] {
            assert_eq!(no_events(head.as_bytes()), None, "{head}");
        }
    }

    #[test]
    fn names_that_are_no_logs() {
        for name in [
            "AWSLogs/1/CloudTrail-Digest/eu/2024/1_CloudTrail-Digest_eu.json.gz",
            ".DS_Store",
            "a/README.md",
            "LICENSE-stratus-red-team",
            "NOTICE",
            "b/logo.png",
            "x.json.sha256",
            "logs.tar.gz",
            "readme",
        ] {
            assert!(no_log(name).is_some(), "{name}");
        }
        for name in [
            "1_CloudTrail_eu.json.gz",
            "audit.json",
            "events.ndjson",
            "trace.pb",
            "licenses.json",
            "log",
            "-",
        ] {
            assert_eq!(no_log(name), None, "{name}");
        }
    }

    #[test]
    fn names_of_sources_read_back() {
        for source in Source::ALL {
            assert_eq!(source.as_str().parse(), Ok(*source));
        }
        assert!("aws".parse::<Source>().is_err());
    }
}
