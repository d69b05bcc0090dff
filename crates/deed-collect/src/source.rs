//! Which system wrote a file.

use std::{fmt, str::FromStr};

use deed_record::Kind;

/// A system whose logs are read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// AWS CloudTrail: delivery files, `lookup-events`, the console's download, EventBridge.
    CloudTrail,
    /// OpenTelemetry exports of traces and logs, protobuf or JSON.
    Otlp,
    /// Records in Deed's own JSON.
    Deed,
}

impl Source {
    /// Every source, in the order of the documentation.
    pub const ALL: &[Source] = &[Source::CloudTrail, Source::Otlp, Source::Deed];

    /// The name that `deed import` takes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Source::CloudTrail => "cloudtrail",
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
            format!("expected `cloudtrail`, `otlp` or `deed`, found `{}`", name.escape_debug())
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
    if has("resourceSpans") || has("resourceLogs") {
        return Some(Source::Otlp);
    }
    if has("CloudTrailEvent")
        || (has("eventSource") && has("eventName"))
        || (has("eventID") && has("eventTime"))
    {
        return Some(Source::CloudTrail);
    }
    if has("time") && holds_kind_of_record(head) {
        return Some(Source::Deed);
    }
    if is_otlp_protobuf(head) || is_otlp_framed(head) {
        return Some(Source::Otlp);
    }
    let name = base_name(file_name);
    if name.contains("_CloudTrail_") {
        return Some(Source::CloudTrail);
    }
    None
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

fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
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
        assert_eq!(guess(br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","time":""}"#, "x.json"), None);
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
