//! Digests as senders write them.

/// What a digest must look like, for errors.
pub(crate) const FORM: &str =
    "expected the name of a hash and its digest, such as `sha256:` and the 64 hex digits of SHA-256";

/// Whether `text` says which hash it is of and holds a digest of that length: in hex, in base64 as OpenSSH
/// prints it, in pairs of hex digits as X.509 tools do, or as the thumbprint of RFC 9278.
///
/// INVARIANT D9: a digest without a name could as well be the secret itself, for tokens are made of so many
/// hex digits or letters too. Whoever sends one must know what it is.
pub(crate) fn is_digest(text: &str) -> bool {
    if let Some(thumbprint) = text.strip_prefix("urn:ietf:params:oauth:jwk-thumbprint:sha-256:") {
        return is_base64(thumbprint, 32);
    }
    let Some((name, digest)) = text.strip_prefix("hmac-").unwrap_or(text).split_once([':', '-']) else {
        return false;
    };
    let length = match name {
        "md5" | "MD5" => 16,
        "sha1" | "SHA1" => 20,
        "sha256" | "SHA256" | "blake3" => 32,
        "sha384" | "SHA384" => 48,
        "sha512" | "SHA512" => 64,
        _ => return is_pairs(text, 16) || is_pairs(text, 20) || is_pairs(text, 32),
    };
    is_hex(digest, length) || is_base64(digest, length) || is_pairs(digest, length)
}

fn is_hex(digest: &str, length: usize) -> bool {
    digest.len() == 2 * length && digest.bytes().all(|b| b.is_ascii_hexdigit())
}

/// In either alphabet, with or without padding.
fn is_base64(digest: &str, length: usize) -> bool {
    let bare = digest.trim_end_matches('=');
    bare.len() == (length * 4).div_ceil(3)
        && (digest.len() == bare.len() || digest.len() == length.div_ceil(3) * 4)
        && bare.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_'))
}

/// `5A:0B:…`
fn is_pairs(digest: &str, length: usize) -> bool {
    digest.len() == 3 * length - 1 && digest.split(':').all(|pair| is_hex(pair, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_that_name_their_hash() {
        let hex = |bytes: usize| "5a".repeat(bytes);
        for text in [
            format!("sha256:{}", hex(32)),
            format!("hmac-sha256:{}", hex(32)),
            format!("sha512:{}", hex(64).to_uppercase()),
            format!("sha1:{}", hex(20)),
            format!("md5:{}", hex(16)),
            "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8".to_owned(),
            "sha256-nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8=".to_owned(),
            format!("MD5:{}", ["5a"; 16].join(":")),
            ["5A"; 20].join(":"),
            ["5A"; 32].join(":"),
            "urn:ietf:params:oauth:jwk-thumbprint:sha-256:NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
                .to_owned(),
        ] {
            assert!(is_digest(&text), "{text}");
        }
    }

    #[test]
    fn what_may_be_the_secret_itself_is_none() {
        let hex = "5a".repeat(32);
        for text in [
            "",
            "hunter2hunter2",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzKq3vPd9aB",
            &hex,
            &hex[..40],
            &hex[..32],
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
            "sha256:xyz",
            "sha256:",
            "md5:hunter2",
            &format!("sha256:{}", &hex[1..]),
            &format!("sha256:{hex}0"),
            &format!("sha512:{hex}"),
            &format!("key:{hex}"),
            "AB:CD",
            "sha256:ééééééééééééééééééééééééééééééé",
        ] {
            assert!(!is_digest(text), "{text}");
        }
    }
}
