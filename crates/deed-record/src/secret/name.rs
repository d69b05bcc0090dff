//! Which names secrets stand under.

/// What a name says of the value under it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    /// Whatever it is, it is a secret.
    Password,
    /// `pass` and `pwd`: a secret unless it is a count or a path.
    Short,
    /// A number that a person types: a PIN, a one-time code.
    Code,
    /// A secret if it looks made by a machine.
    Token,
    /// `Authorization`, `Cookie`: credentials, perhaps behind the name of a scheme.
    Header,
    /// The words from which a key is made: `mnemonic`, `seed_phrase`.
    Phrase,
    /// `secret_id`: the half of Vault's AppRole that is secret, always a UUID. Elsewhere it names a secret.
    AppRole,
}

/// What stands before `…Token` where it is none that anybody could use: paging, retries, language
/// models, hashes.
const NO_TOKEN: &[&str] = &[
    "begin",
    "bos",
    "cached",
    "cancel",
    "cancellation",
    "change",
    "client",
    "cls",
    "completion",
    "continuation",
    "continue",
    "cursor",
    "design",
    "end",
    "eos",
    "fencing",
    "first",
    "hash",
    "hashed",
    "idempotency",
    "input",
    "last",
    "lock",
    "logprob",
    "mask",
    "max",
    "min",
    "next",
    "num",
    "output",
    "pad",
    "page",
    "pagination",
    "paging",
    "position",
    "prev",
    "previous",
    "prompt",
    "reasoning",
    "request",
    "resume",
    "sep",
    "sequence",
    "special",
    "start",
    "starting",
    "stop",
    "sync",
    "total",
    "unk",
    "version",
];

/// What stands before `…Key` where it is a secret.
const SECRET_KEY: &[&str] = &[
    "access",
    "account",
    "admin",
    "api",
    "app",
    "application",
    "auth",
    "deploy",
    "encryption",
    "functions",
    "hmac",
    "jwt",
    "master",
    "private",
    "secret",
    "session",
    "shared",
    "signing",
    "storage",
    "subscription",
    "unseal",
    "webhook",
];

/// What stands before `…Secret` where only its name is meant.
const NO_SECRET: &[&str] = &["existing", "pull", "tls"];

/// What stands before `…pass`, `…pwd` and `…pw` in one word; `compass` and `OLDPWD` are none.
const WHOSE_PASS: &[&str] = &[
    "admin", "app", "bind", "db", "ftp", "key", "ldap", "login", "mail", "master", "my", "mysql", "pg",
    "proxy", "redis", "require", "root", "smtp", "sql", "ssh", "store", "sudo", "user", "vpn", "wifi",
];

/// Two words that make the name of a secret only together.
const PAIRS: &[(&str, &str, Class)] = &[
    ("access", "signature", Class::Token),
    ("amz", "signature", Class::Token),
    // Elsewhere it is short for a pattern.
    ("azdo", "pat", Class::Token),
    ("azure", "pat", Class::Token),
    ("backup", "code", Class::Code),
    ("backup", "phrase", Class::Phrase),
    // Of Bitwarden's and fastlane's environment; elsewhere a session is only named.
    ("bw", "session", Class::Token),
    ("connection", "string", Class::Password),
    ("devops", "pat", Class::Token),
    ("fastlane", "session", Class::Token),
    ("github", "pat", Class::Token),
    ("gitlab", "pat", Class::Token),
    ("goog", "signature", Class::Token),
    ("key", "material", Class::Token),
    ("mfa", "code", Class::Code),
    ("mnemonic", "phrase", Class::Phrase),
    ("onetime", "code", Class::Code),
    ("otp", "code", Class::Code),
    ("password", "again", Class::Password),
    ("password", "confirm", Class::Password),
    ("password", "confirmation", Class::Password),
    ("password", "data", Class::Password),
    ("password", "hash", Class::Password),
    ("password", "repeat", Class::Password),
    ("recovery", "code", Class::Code),
    ("recovery", "phrase", Class::Phrase),
    ("saml", "response", Class::Token),
    ("secret", "answer", Class::Password),
    ("secret", "binary", Class::Password),
    ("secret", "phrase", Class::Phrase),
    ("secret", "string", Class::Password),
    ("secret", "text", Class::Password),
    ("secret", "value", Class::Password),
    ("security", "answer", Class::Password),
    ("security", "code", Class::Code),
    ("seed", "phrase", Class::Phrase),
    ("sms", "code", Class::Code),
    ("token", "code", Class::Code),
    ("token", "value", Class::Token),
    ("verification", "code", Class::Code),
];

/// How the name of what only describes a secret ends: what is kept of `{"password":{"type":"string"}}`.
const DESCRIPTION: &[&str] = &[
    "account",
    "action",
    "age",
    "alg",
    "algorithm",
    "annotations",
    "arn",
    "at",
    "attributes",
    "audience",
    "backend",
    "by",
    "changed",
    "class",
    "code",
    "comment",
    "count",
    "created",
    "date",
    "desc",
    "description",
    "directory",
    "domain",
    "email",
    "encoding",
    "engine",
    "enum",
    "env",
    "environment",
    "error",
    "errors",
    "etag",
    "example",
    "examples",
    "expiration",
    "expired",
    "expires",
    "expiry",
    "field",
    "file",
    "filename",
    "format",
    "from",
    "help",
    "hint",
    "host",
    "hostname",
    "href",
    "id",
    "ids",
    "interval",
    "issuer",
    "key",
    "kind",
    "label",
    "labels",
    "length",
    "level",
    "link",
    "locale",
    "login",
    "manager",
    "max",
    "message",
    "metadata",
    "method",
    "min",
    "mode",
    "modified",
    "name",
    "namespace",
    "note",
    "owner",
    "path",
    "pattern",
    "period",
    "placeholder",
    "plugin",
    "policies",
    "policy",
    "principal",
    "protocol",
    "provider",
    "realm",
    "reason",
    "ref",
    "reference",
    "refs",
    "region",
    "replication",
    "required",
    "resource",
    "rotation",
    "rule",
    "rules",
    "scheme",
    "scope",
    "scopes",
    "sensitive",
    "size",
    "source",
    "state",
    "status",
    "store",
    "subject",
    "summary",
    "tags",
    "time",
    "timestamp",
    "title",
    "topics",
    "ttl",
    "type",
    "uid",
    "until",
    "updated",
    "uri",
    "url",
    "usage",
    "user",
    "username",
    "uuid",
    "version",
    "versions",
    "widget",
];

/// How every name of a secret ends, but for digits; [`class`] knows no other, but for two that [`hint`](super::hint) looks
/// for by how they begin.
pub(super) const ENDINGS: [&str; 50] = [
    "password",
    "passwords",
    "pass_word",
    "pass-word",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "key",
    "keys",
    "authorization",
    "cookie",
    "cookies",
    "creds",
    "assertion",
    "plaintext",
    "pwd",
    "pass",
    "pw",
    "pin",
    "otp",
    "cvv",
    "cvc",
    "auth",
    "sig",
    "signature",
    "code",
    "codes",
    "secret_id",
    "string",
    "material",
    "data",
    "hash",
    "response",
    "binary",
    "text",
    "value",
    "totp",
    "answer",
    "phrase",
    "mnemonic",
    "pem",
    "again",
    "confirm",
    "confirmation",
    "repeat",
    "pat",
    "key_base",
    "session",
];

/// What `name` says of the value under it; `None` where it says nothing.
///
/// Words are told apart by `-`, `_`, `.`, spaces and capitals; the last two decide.
pub(super) fn class<'n>(name: &'n str) -> Option<Class> {
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '-' | '_'));
    if name.ends_with(['.', ' ']) {
        return None;
    }
    let (before, last) = last_word(name);
    let is_plural = |one: &&str| ["password", "key", "code", "cookie"].iter().any(|many| ends(one, many));
    let last = without(last, "s").filter(is_plural).unwrap_or(last);
    // What qualifies an ending: the rest of its word (`accesstoken`), else the word before.
    let qualifier = |rest: &'n str| if rest.is_empty() { last_word(before).1 } else { rest };
    let is_one_of = |word: &str, words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known));

    if ["password", "passwd", "passphrase", "passcode"].iter().any(|ending| ends(last, ending))
        // However its letters are written: `pAsSwOrD`.
        || ends(name, "password")
        || ends(name, "passwords")
        || (is_one_of(last, &["word", "phrase", "code"]) && is_pass(before))
    {
        return Some(Class::Password);
    }
    if without(name, "secret_id").is_some_and(|whose| whose.is_empty() || whose.ends_with(is_separator)) {
        return Some(Class::AppRole);
    }
    if let Some(whose) =
        without(last, "pass").or_else(|| without(last, "pwd")).or_else(|| without(last, "pw"))
        && (whose.is_empty() || is_one_of(whose, WHOSE_PASS))
    {
        return Some(Class::Short);
    }
    if is_one_of(last, &["pin", "otp", "totp", "cvv", "cvc"])
        || (is_one_of(last, &["code"]) && is_one_time(before))
    {
        return Some(Class::Code);
    }
    if is_one_of(last, &["auth", "creds", "plaintext"])
        || ends(last, "assertion")
        // Of Terraform and 1Password, behind which a host or an account is named, of Rails, and of Azure's command line.
        || name.starts_with("TF_TOKEN_")
        || name.starts_with("OP_SESSION_")
        || ends(name, "key_base")
        || ends(name, "devops_ext_pat")
    {
        return Some(Class::Token);
    }
    if is_one_of(last, &["mnemonic"]) {
        return Some(Class::Phrase);
    }
    // `privateKeyPem` and `client-key-data` are keys, `publicKeyPem` and `certificatePem` are none.
    if let Some(rest) = without(last, "pem").or_else(|| without(last, "data")) {
        let key = name[..before.len() + rest.len()].trim_end_matches(is_separator);
        let (before, last) = last_word(key);
        let qualifier =
            without(last, "key").map(|rest| if rest.is_empty() { last_word(before).1 } else { rest });
        if let Some(whose) = qualifier {
            return (ends(whose, "private") || ends(whose, "client")).then_some(Class::Token);
        }
    }
    if let Some(rest) = without(last, "secret") {
        return (!is_one_of(qualifier(rest), NO_SECRET)).then_some(Class::Password);
    }
    if let Some(rest) = without(last, "token") {
        // The client token of AWS makes a request repeatable; that of Vault opens it.
        let vault = name.ends_with("client_token");
        return (vault || !is_one_of(qualifier(rest), NO_TOKEN)).then_some(Class::Token);
    }
    if let Some(rest) = without(last, "key") {
        let qualifier = qualifier(rest);
        return SECRET_KEY.iter().any(|word| ends(qualifier, word)).then_some(Class::Token);
    }
    if ends(last, "authorization") || ends(last, "cookie") {
        return Some(Class::Header);
    }
    let pair = PAIRS
        .iter()
        .find(|(first, second, _)| without(last, second).is_some_and(|rest| ends(qualifier(rest), first)));
    pair.map(|pair| pair.2)
}

/// Whether what is before the last word is `pass`, in one name with it: `PassWord`, `user_pass-word`.
fn is_pass(before: &str) -> bool {
    let pass = before.strip_suffix(['-', '_']).unwrap_or(before);
    !pass.ends_with(is_separator) && last_word(pass).1.eq_ignore_ascii_case("pass")
}

/// Whether what is before the last word is `one_time`; a time code is where something is in a film.
fn is_one_time(before: &str) -> bool {
    let (before, time) = last_word(before);
    time.eq_ignore_ascii_case("time") && last_word(before).1.eq_ignore_ascii_case("one")
}

/// What the name of a secret says of the members of an object under it, whatever they are called.
pub(super) fn class_within(name: &str, class: Class) -> Option<Class> {
    let is_cookie = || ["cookie", "cookies"].iter().any(|ending| ends(last_word(name).1, ending));
    (class == Class::Password || (class == Class::Header && is_cookie())).then_some(Class::Password)
}

/// Whether what stands under `name` beside or in place of a secret says something about it.
pub(super) fn describes(name: &str) -> bool {
    let last = last_word(name).1;
    name.contains(['$', ':', '/']) || DESCRIPTION.iter().any(|word| last.eq_ignore_ascii_case(word))
}

/// `word` without `ending`, in whatever case.
fn without<'n>(word: &'n str, ending: &str) -> Option<&'n str> {
    let at = word.len().checked_sub(ending.len())?;
    word.get(at..)?.eq_ignore_ascii_case(ending).then(|| &word[..at])
}

fn ends(word: &str, ending: &str) -> bool {
    without(word, ending).is_some()
}

/// The last word of `name`, and what is before it.
fn last_word(name: &str) -> (&str, &str) {
    let name = name.trim_end_matches(is_separator);
    let bytes = name.as_bytes();
    let starts_here = |at: usize| {
        let (before, here) = (bytes[at - 1], bytes[at]);
        is_separator(char::from(before))
            || (here.is_ascii_uppercase() && !before.is_ascii_uppercase())
            // `HTTPToken`: the last capital of a run begins the next word.
            || (here.is_ascii_uppercase() && bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase))
    };
    let at = (1..bytes.len()).rev().find(|at| name.is_char_boundary(*at) && starts_here(*at)).unwrap_or(0);
    name.split_at(at)
}

fn is_separator(c: char) -> bool {
    matches!(c, '-' | '_' | '.' | ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets() {
        for (name, expected) in [
            ("password", Class::Password),
            ("DB_PASSWORD", Class::Password),
            ("masterUserPassword", Class::Password),
            ("PGPASSWORD", Class::Password),
            ("old-password", Class::Password),
            ("password2", Class::Password),
            ("passwords", Class::Password),
            ("--db-password", Class::Password),
            ("clientSecret", Class::Password),
            ("client_secret", Class::Password),
            ("SecretString", Class::Password),
            ("secret", Class::Password),
            ("passwordHash", Class::Password),
            ("password_confirmation", Class::Password),
            ("passwordConfirm", Class::Password),
            ("repeat_password", Class::Password),
            ("passwordRepeat", Class::Password),
            ("connectionString", Class::Password),
            ("spring.datasource.password", Class::Password),
            ("PassWord", Class::Password),
            ("passWord", Class::Password),
            ("Pass_Word", Class::Password),
            ("pass-word", Class::Password),
            ("PASS_WORD", Class::Password),
            ("pAsSwOrD", Class::Password),
            ("PassWords", Class::Password),
            ("userPassWord", Class::Password),
            ("pass_phrase", Class::Password),
            ("PassPhrase", Class::Password),
            ("PassCode", Class::Password),
            ("pwd", Class::Short),
            ("db_pw", Class::Short),
            ("bindpw", Class::Short),
            ("smtp_pass", Class::Short),
            ("smtpPass", Class::Short),
            ("dbpass", Class::Short),
            ("DBPWD", Class::Short),
            ("requirepass", Class::Short),
            ("securityAnswer", Class::Password),
            ("security_answer_2", Class::Password),
            ("privateKeyPem", Class::Token),
            ("PRIVATE_KEY_PEM", Class::Token),
            ("client-key-data", Class::Token),
            ("privateKeyData", Class::Token),
            ("BW_SESSION", Class::Token),
            ("SECRET_KEY_BASE", Class::Token),
            ("TF_TOKEN_app_terraform_io", Class::Token),
            ("OP_SESSION_my", Class::Token),
            ("AZURE_DEVOPS_EXT_PAT", Class::Token),
            ("B2_APPLICATION_KEY", Class::Token),
            ("ALGOLIA_ADMIN_KEY", Class::Token),
            ("seed_phrase", Class::Phrase),
            ("recoveryPhrase", Class::Phrase),
            ("mnemonic", Class::Phrase),
            ("tokenValue", Class::Token),
            ("_authToken", Class::Token),
            ("pin", Class::Code),
            ("tokenCode", Class::Code),
            ("MFA_CODE", Class::Code),
            ("otp", Class::Code),
            ("one_time_code", Class::Code),
            ("oneTimeCode", Class::Code),
            ("smsCode", Class::Code),
            ("recoveryCodes", Class::Code),
            ("backup_codes", Class::Code),
            ("secret_id", Class::AppRole),
            ("VAULT_SECRET_ID", Class::AppRole),
            ("token", Class::Token),
            ("sessionToken", Class::Token),
            ("x-amz-security-token", Class::Token),
            ("GITHUB_TOKEN", Class::Token),
            ("accesstoken", Class::Token),
            ("HTTPToken", Class::Token),
            ("client_token", Class::Token),
            ("backendToken", Class::Token),
            ("apiKey", Class::Token),
            ("APIKEY", Class::Token),
            ("API Key", Class::Token),
            ("apiKeys", Class::Token),
            ("OPENAI_API_KEY", Class::Token),
            ("secretaccesskey", Class::Token),
            ("AWS_SECRET_ACCESS_KEY", Class::Token),
            ("AccountKey", Class::Token),
            ("privateKey", Class::Token),
            ("unsealKey", Class::Token),
            ("creds", Class::Token),
            ("sAMLAssertion", Class::Token),
            ("X-Amz-Signature", Class::Token),
            ("Authorization", Class::Header),
            ("Set-Cookie", Class::Header),
            ("cookies", Class::Header),
            ("proxyAuthorization", Class::Header),
        ] {
            assert_eq!(class(name), Some(expected), "{name}");
        }
    }

    #[test]
    fn names_of_descriptions() {
        for name in
            ["type", "secretName", "created_at", "ARN", "$ref", "Fn::GetAtt", "valueFrom", "kms_key_id"]
        {
            assert!(describes(name), "{name}");
        }
        for name in ["value", "k", "sid", "plain", "data", ""] {
            assert!(!describes(name), "{name}");
        }
    }

    #[test]
    fn names_of_no_secrets() {
        for name in [
            "",
            "key",
            "keys",
            "sig",
            "id",
            "accessKeyId",
            "AWS_ACCESS_KEY_ID",
            "nextToken",
            "NextContinuationToken",
            "pageToken",
            "next_page_token",
            "max_tokens",
            "input_tokens",
            "max_token",
            "tokens",
            "clientToken",
            "clientRequestToken",
            "idempotency-token",
            "hashed_token",
            "token_type",
            "tokenId",
            "eosToken",
            "stop_token",
            "publicKey",
            "kmsKeyId",
            "partitionKey",
            "objectKey",
            "keyName",
            "secretId",
            "secretArn",
            "secretName",
            "imagePullSecret",
            "passwordLastUsed",
            "passwordPolicy",
            "password_policy",
            "passwordCode",
            "bypassCode",
            "bypass_code",
            "time_code",
            "statusCodes",
            "keyword",
            "http.pass.code",
            "swords",
            "shipping",
            "compass",
            "bypass",
            "oldpwd",
            "publicKeyPem",
            "certificatePem",
            "keyPem",
            "keyData",
            "publicKeyData",
            "certificate-authority-data",
            "client-certificate-data",
            "session",
            "stopSession",
            "UNRESERVED_PAT",
            "pat",
            "database",
            "keybase",
            "path",
            "answer",
            "phrase",
            "searchPhrase",
            "cwd",
            "code",
            "value",
            "data",
            "text",
            "statusCode",
            "signature",
            "design",
            "author",
            "string",
            "contentHash",
            "response",
            "é",
            "日本_トークン",
        ] {
            assert_eq!(class(name), None, "{name}");
        }
    }
}
