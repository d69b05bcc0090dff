//! Secrets are taken out, and nothing else is.

use std::borrow::Cow;

use deed_record::secret::{Excised, Fingerprints, excise};
use proptest::prelude::*;

/// Digests good enough for a test, in the form of real ones.
struct Marks;

impl Fingerprints for Marks {
    fn of_token(&self, secret: &[u8]) -> String {
        format!("sha256:{}", digest(secret))
    }
    fn of_password(&self, secret: &[u8]) -> String {
        format!("hmac-sha256:{}", digest(secret))
    }
}

fn digest(secret: &[u8]) -> String {
    let sum = secret
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    format!("{sum:016x}").repeat(4)
}

fn cleaned(json: &str) -> Excised<'_> {
    excise(json, &Marks).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// The unguessable ones, made up in pieces so that no scanner takes this file for a leak.
fn github() -> String {
    ["ghp", "_16C7e42F292c6912E7710c838347Ae178B4a"].concat()
}
fn session_token() -> String {
    ["IQoJb3JpZ2lu", &"X2VjEPT+x9/kJ7w".repeat(5), "=="].concat()
}
fn jwt() -> String {
    [
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
        ".eyJzdWIiOiIxMjM0NTY3ODkwIn0.",
        "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
    ]
    .concat()
}
fn aws_secret() -> String {
    ["wJalrXUtnFEMI/K7MDENG", "/bPxRfiCYzKq3vPd9aB"].concat()
}
fn pem() -> String {
    ["-----BEGIN RSA PRIV", "ATE KEY-----\nMIIEowIBAAKCAQEA\nabc+/=\n-----END RSA PRIV", "ATE KEY-----"]
        .concat()
}

fn airtable() -> String {
    ["pat", "aB3dE6gH9jK2mN", ".", &"0123456789abcdef".repeat(4)].concat()
}
fn azure_key() -> String {
    ["8ec07ZcR2DQf619Ckg8hGCCjqo2LeNnOHIgJPLLtoHieVQQGBHHx", "JQQJ9", "9BCACAAAAAAZg6lNAAASAZDO1Vba"]
        .concat()
        .split_at(84)
        .0
        .to_owned()
}
fn salesforce() -> String {
    ["00D5g000004BhZq", "!AQ8AQ", &"LfTA.b_cdef9".repeat(8)].concat()
}
fn discord() -> String {
    ["MTk4NjIyNDgzNDcxOTI1MjQ4", ".Cl2FMQ.", "ZnCjm1XVW7vRze4b7Cq4se7kKWs"].concat()
}

/// JSON, the secrets in it and whether each is one that nobody can guess.
fn table() -> Vec<(String, Vec<(String, bool)>)> {
    let (github, session, jwt, aws, pem) = (github(), session_token(), jwt(), aws_secret(), pem());
    let json = |text: &str| serde_json::Value::from(text).to_string();
    let secret = |text: &str| (text.to_owned(), false);
    let token = |text: &str| (text.to_owned(), true);
    vec![
        // Names.
        (r#"{"password":"hunter2"}"#.into(), vec![secret("hunter2")]),
        (r#"{"a":{"b":[{"Password" : "hunter2"}]}}"#.into(), vec![secret("hunter2")]),
        (r#"{"\u0070assword":"hunter2"}"#.into(), vec![secret("hunter2")]),
        (r#"{"MY_DB_PASSWORD":"correct horse battery"}"#.into(), vec![secret("correct horse battery")]),
        (r#"{"masterUserPassword":"q"}"#.into(), vec![secret("q")]),
        (r#"{"client_secret":"abc"}"#.into(), vec![secret("abc")]),
        (r#"{"pwd":"hunter2","smtp_pass":"gandalf"}"#.into(), vec![secret("hunter2"), secret("gandalf")]),
        (format!(r#"{{"sessionToken":"{session}"}}"#), vec![token(&session)]),
        (format!(r#"{{"secretAccessKey":"{aws}"}}"#), vec![token(&aws)]),
        (r#"{"apiKey":"abc12345"}"#.into(), vec![secret("abc12345")]),
        (
            r#"{"client_token":"s.iyNUhq8Ov4hIAx6snw5mB2nL"}"#.into(),
            vec![secret("s.iyNUhq8Ov4hIAx6snw5mB2nL")],
        ),
        // Said twice, and how shells, SQL and YAML write a value.
        (r#"{"password_confirmation":"hunter2"}"#.into(), vec![secret("hunter2")]),
        (r#"["curl","--user","bob:hunter2","https://x"]"#.into(), vec![secret("hunter2")]),
        (json("PASSWORD=$'a b hunter2'"), vec![secret("a b hunter2")]),
        (json("PASSWORD=abc'def'hunter2 go"), vec![secret("abc'def'hunter2")]),
        (json("CREATE LOGIN x WITH PASSWORD = N'hunter2'"), vec![secret("hunter2")]),
        (json("db:\n  password: >-\n    hunter2\n  user: bob\n"), vec![secret("hunter2")]),
        (json("password: !!str hunter2\n"), vec![secret("hunter2")]),
        (json("client_secret: >-\n  hunter2\n"), vec![secret("hunter2")]),
        (json("x --password \\\n  hunter2 --go"), vec![secret("hunter2")]),
        // A password is never taken for unguessable, however it looks; a vendor's token is, wherever it stands.
        (
            r#"{"password":"5f4dcc3b5aa765d61d8327deb882cf99"}"#.into(),
            vec![secret("5f4dcc3b5aa765d61d8327deb882cf99")],
        ),
        (
            r#"{"secret":"Correct-Horse-Battery-Staple-1234"}"#.into(),
            vec![secret("Correct-Horse-Battery-Staple-1234")],
        ),
        (
            r#"{"token":"Summer2024Summer2024Summer2024"}"#.into(),
            vec![secret("Summer2024Summer2024Summer2024")],
        ),
        (format!(r#"{{"password":"{github}"}}"#), vec![token(&github)]),
        (r#"{"PassWord":"hunter2","pass_phrase":"gandalf"}"#.into(), vec![secret("hunter2"), secret("gandalf")]),
        (
            r#"{"text":"login --pass-word hunter3x PASS_WORD=hunter4x passWord: hunter5x pAsSwOrD=hunter6x"}"#.into(),
            vec![secret("hunter3x"), secret("hunter4x"), secret("hunter5x"), secret("hunter6x")],
        ),
        (
            r#"{"secret_id":"3b1e7a52-90cd-4f1b-8c77-0d8f5a1b2c3d"}"#.into(),
            vec![secret("3b1e7a52-90cd-4f1b-8c77-0d8f5a1b2c3d")],
        ),
        (r#"{"recoveryCodes":["a1b2c-3d4e5"],"db_pw":"hunter2"}"#.into(), vec![secret("a1b2c-3d4e5"), secret("hunter2")]),
        (r#"{"text":"Bearer\tabcdef123456"}"#.into(), vec![secret("abcdef123456")]),
        (r#"{"text":"Bearer\u0009abcdef123456"}"#.into(), vec![secret("abcdef123456")]),
        (r#"{"text":"-H Basic gf/+AZmqu8zd7v8R"}"#.into(), vec![secret("gf/+AZmqu8zd7v8R")]),
        // Numbers.
        (r#"{"pin":1234}"#.into(), vec![secret("1234")]),
        (r#"{"password": 12345678 }"#.into(), vec![secret("12345678")]),
        (r#"{"mfaCode":"123456"}"#.into(), vec![secret("123456")]),
        // Arrays, pairs, flags, maps.
        (r#"{"passwords":["hunter2","hunter3"]}"#.into(), vec![secret("hunter2"), secret("hunter3")]),
        (r#"{"password":[["hunter2"]]}"#.into(), vec![secret("hunter2")]),
        (r#"{"env":[{"name":"DB_PASSWORD","value":"hunter2"}]}"#.into(), vec![secret("hunter2")]),
        (r#"{"env":[{"value":"hunter2","name":"DB_PASSWORD"}]}"#.into(), vec![secret("hunter2")]),
        (
            r#"{"parameters":[{"parameterKey":"MasterPassword","parameterValue":"hunter2"}]}"#.into(),
            vec![secret("hunter2")],
        ),
        (
            r#"{"attributes":[{"key":"db.password","value":{"stringValue":"hunter2"}}]}"#.into(),
            vec![secret("hunter2")],
        ),
        (r#"["mysql","--password","hunter2","-h","db"]"#.into(), vec![secret("hunter2")]),
        // A list in an attribute of OpenTelemetry.
        (
            r#"{"key":"process.command_args","value":{"arrayValue":{"values":[{"stringValue":"mysql"},{"stringValue":"--password"},{"stringValue":"hunter2"},{"stringValue":"db"}]}}}"#
                .into(),
            vec![secret("hunter2")],
        ),
        (
            r#"{"values":[ { "stringValue" : "--token" } , { "stringValue" : "abc12345" } ]}"#.into(),
            vec![secret("abc12345")],
        ),
        (r#"[["X-Api-Key","abc12345"],["Accept","text/html"]]"#.into(), vec![secret("abc12345")]),
        (
            r#"{"kind":"Secret","metadata":{"name":"n"},"data":{"tls.crt":"YWJj","a":"Yg=="}}"#.into(),
            vec![secret("YWJj"), secret("Yg==")],
        ),
        (r#"{"stringData":{"user":"ann"},"kind":"Secret"}"#.into(), vec![secret("ann")]),
        // Secrets in the logs of the stores that keep them, where nothing beside them says what they are.
        (
            r#"{"kind":"SecretList","items":[{"metadata":{"name":"n"},"data":{"user":"YWJj"}}]}"#.into(),
            vec![secret("YWJj")],
        ),
        (
            r#"{"requestObject":{"data":{"user":"YWJj"}},"objectRef":{"name":"n","resource":"secrets"}}"#.into(),
            vec![secret("YWJj")],
        ),
        (
            r#"{"objectRef":{"resource":"secrets"},"requestObject":[{"op":"add","path":"/data/user","value":"YWJj"}]}"#
                .into(),
            vec![secret("YWJj")],
        ),
        (
            r#"{"resourceName":"core/v1/namespaces/ns/secrets/n","response":{"stringData":{"user":"ann"}}}"#.into(),
            vec![secret("ann")],
        ),
        (
            r#"{"log":"{\"objectRef\":{\"resource\":\"secrets\"},\"responseObject\":{\"data\":{\"a\":\"Yg==\"}}}"}"#
                .into(),
            vec![secret("Yg==")],
        ),
        (r#"{"mount_type":"kv","data":{"user":"ann"}}"#.into(), vec![secret("ann")]),
        (
            r#"{"data":{"data":{"user":"ann"},"options":{"mode":"strict"}},"mount_type":"kv"}"#.into(),
            vec![secret("ann")],
        ),
        (format!(r#"{{"sessions":{{"{github}":"ann"}}}}"#), vec![token(&github)]),
        // Headers.
        (format!(r#"{{"headers":{{"Authorization":"Bearer {jwt}"}}}}"#), vec![token(&jwt)]),
        (r#"{"Authorization":"Bearer abcdefgh12345678"}"#.into(), vec![secret("abcdefgh12345678")]),
        (r#"{"Authorization":"Basic cm9vdDpodW50ZXIy"}"#.into(), vec![secret("cm9vdDpodW50ZXIy")]),
        (r#"{"authorization":"Token 9944b09199c62bcf9418"}"#.into(), vec![secret("9944b09199c62bcf9418")]),
        (r#"{"Cookie":"session=abc; theme=dark"}"#.into(), vec![secret("session=abc; theme=dark")]),
        // One secret in it is not all of it.
        (
            r#"{"Cookie":"token=abc12345678; session=xyz789"}"#.into(),
            vec![secret("token=abc12345678; session=xyz789")],
        ),
        (r#"{"token":"password:secret"}"#.into(), vec![secret("secret")]),
        (
            r#"{"cmd":"curl -H 'Authorization: Token 9944b09199c62bcf9418' https://x"}"#.into(),
            vec![secret("9944b09199c62bcf9418")],
        ),
        (
            r#"{"cmd":"curl -H \"Cookie: session=abc; b=c\" https://x"}"#.into(),
            vec![secret("session=abc; b=c")],
        ),
        (r#"{"cmd":"curl -u ann:hunter2 https://x"}"#.into(), vec![secret("hunter2")]),
        // Text.
        (format!(r#"{{"text":"the token is {jwt} as said"}}"#), vec![token(&jwt)]),
        (format!(r#"{{"text":"git clone https://ann:{github}@github.com/x"}}"#), vec![token(&github)]),
        (r#"{"dsn":"postgres://app:hunter2@db:5432/x"}"#.into(), vec![secret("hunter2")]),
        (r#"{"dsn":"postgres:\/\/app:hunter2@db\/x"}"#.into(), vec![secret("hunter2")]),
        (
            r#"{"dsn":"redis://:a-long-but-human-password@db/0"}"#.into(),
            vec![secret("a-long-but-human-password")],
        ),
        (format!(r#"{{"text":"AWS_SECRET_ACCESS_KEY={aws}\nAWS_REGION=eu-west-1"}}"#), vec![token(&aws)]),
        (r#"{"text":"export DB_PASSWORD='correct horse'; run"}"#.into(), vec![secret("correct horse")]),
        (r#"{"text":"x\npin=1234\n"}"#.into(), vec![secret("1234")]),
        (r#"{"text":"mysql --password=hunter2 db"}"#.into(), vec![secret("hunter2")]),
        (r#"{"text":"mysql --password hunter2 db"}"#.into(), vec![secret("hunter2")]),
        (r#"{"text":"user=ann,password=hunter2,host=db"}"#.into(), vec![secret("hunter2")]),
        (r#"{"text":"connect(user='ann', password='hunter2')"}"#.into(), vec![secret("hunter2")]),
        (r#"{"text":"{'user': 'ann', 'password': 'hunter2'}"}"#.into(), vec![secret("hunter2")]),
        (r#"{"text":"Result: {\"password\": \"hunter2\"}, done"}"#.into(), vec![secret("hunter2")]),
        (r#"{"text":"password: hunter2"}"#.into(), vec![secret("hunter2")]),
        (r#"{"text":"env:\n  - name: DB_PASSWORD\n    value: hunter2\n"}"#.into(), vec![secret("hunter2")]),
        (r#"{"text":"<user>ann</user><password>hunter2</password>"}"#.into(), vec![secret("hunter2")]),
        (r#"{"text":"grant_type=password&client_secret=abc%21&x=y"}"#.into(), vec![secret("abc%21")]),
        (
            r#"{"url":"https://x.blob.core.windows.net/c?sv=2022&sig=abc123%2Bdef%3D&se=2024"}"#.into(),
            vec![secret("abc123%2Bdef%3D")],
        ),
        (
            r#"{"url":"https://x.s3.amazonaws.com/k?X-Amz-Signature=0123456789abcdef&X-Amz-Expires=60"}"#
                .into(),
            vec![secret("0123456789abcdef")],
        ),
        (
            format!(r#"{{"text":{}}}"#, json(&format!("key:\n{pem}\nend"))),
            vec![token(json(&pem).trim_matches('"'))],
        ),
        (format!(r#"{{"privateKey":{}}}"#, json(&pem)), vec![token(json(&pem).trim_matches('"'))]),
        // JSON in strings.
        (json(r#"{"password":"hunter2"}"#), vec![secret("hunter2")]),
        (
            format!(
                r#"{{"arguments":{}}}"#,
                json(&format!(r#"{{"inner":{}}}"#, json(r#"{"password":"hunter2"}"#)))
            ),
            vec![secret("hunter2")],
        ),
        (format!(r#"{{"arguments":{}}}"#, json(r#"{"pin":1234}"#)), vec![secret("1234")]),
        (
            r#"{"SecretString":"{\"user\":\"ann\",\"password\":\"hunter2\"}"}"#.into(),
            vec![secret(r#"{\"user\":\"ann\",\"password\":\"hunter2\"}"#)],
        ),
        // Objects under the name of a secret.
        (r#"{"password":{"value":"abc","type":"plain"}}"#.into(), vec![secret("abc")]),
        (r#"{"token":{"value":"abc12345"},"pin":{"val":"1234"}}"#.into(), vec![secret("abc12345"), secret("1234")]),
        (r#"{"secret":{"k":"abc","name":"db","createdAt":"2026"}}"#.into(), vec![secret("abc")]),
        (r#"{"Cookie":{"sid":"abc"}}"#.into(), vec![secret("abc")]),
        (r#"{"password":{"hash":{"algorithm":"BCRYPT","value":"abc"}}}"#.into(), vec![secret("abc")]),
        (r#"{"secret":{"data":[{"a":"abc"}]}}"#.into(), vec![secret("abc")]),
        (r#"{"securityAnswer":"Rex","dbpass":"hunter2"}"#.into(), vec![secret("Rex"), secret("hunter2")]),
        (r#"{"privateKeyPem":"MIIEowIBAAKCAQEA"}"#.into(), vec![secret("MIIEowIBAAKCAQEA")]),
        (r#"{"seed_phrase":"abandon ability able"}"#.into(), vec![secret("abandon ability able")]),
        (r#"{"responseElements":{"tokenValue":"AAEAAe8WfC9h4bGq5dHm"}}"#.into(), vec![secret("AAEAAe8WfC9h4bGq5dHm")]),
        // Names with their value behind a space, and the like.
        (
            r#"{"text":"//registry.npmjs.org/:_authToken=0f1e2d3c4b5a"}"#.into(),
            vec![secret("0f1e2d3c4b5a")],
        ),
        (
            r#"{"text":"npm config set //registry.npmjs.org/:_authToken 0f1e2d3c4b5a"}"#.into(),
            vec![secret("0f1e2d3c4b5a")],
        ),
        (r#"{"text":"FROM x\nENV DB_PASSWORD correct horse\nRUN y"}"#.into(), vec![secret("correct horse")]),
        (r#"{"text":"machine h login u password hunter"}"#.into(), vec![secret("hunter")]),
        (r#"{"text":"machine h\n  login u\n  password hunter\n"}"#.into(), vec![secret("hunter")]),
        (
            format!(r#"{{"text":"aws configure set aws_secret_access_key {aws} --profile x"}}"#),
            vec![token(&aws)],
        ),
        (r#"{"text":"pulumi config set --secret dbPassword hunter2"}"#.into(), vec![secret("hunter2")]),
        (r#"{"text":"ALTER USER x WITH PASSWORD 'it''s'; COMMIT"}"#.into(), vec![secret("it''s")]),
        (r#"{"text":"create role app login password 'hunter2'"}"#.into(), vec![secret("hunter2")]),
        (r#"{"text":"CREATE USER x IDENTIFIED BY 'hunter2'"}"#.into(), vec![secret("hunter2")]),
        (
            r#"{"text":"alter user x identified with mysql_native_password by \"hunter2\""}"#.into(),
            vec![secret("hunter2")],
        ),
        (r#"{"text":"ALTER USER scott IDENTIFIED BY tiger;"}"#.into(), vec![secret("tiger")]),
        (
            r#"{"text":"apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\nstringData:\n  user: app\n  url: \"a b\"\n  many: |\n    one\n    two\ntype: Opaque\n---\nkind: ConfigMap\ndata:\n  a: b\n"}"#
                .into(),
            vec![secret("app"), secret("a b"), secret("one"), secret("two")],
        ),
        // The same with quoted names, in flow style, in a command, and what a Secret is not.
        (
            json("\"kind\": Secret\n\"stringData\": # all of it\n  \"user\": app\n  'url': 'a b'\n\"type\": Opaque\n"),
            vec![secret("app"), secret("a b")],
        ),
        (
            json("kind: Secret\ndata: {user: YXBw, \"api-url\": 'YSBi', n: Yg==}\nmetadata: {name: db}\n---\nkind: ConfigMap\ndata: {a: b}\n"),
            vec![secret("YXBw"), secret("YSBi"), secret("Yg==")],
        ),
        (
            json("stringData: {\n  user: app, # who\n  \"q\": \"a, b\",\n  url: a:b\n}\nkind: Secret\ntype: Opaque"),
            vec![secret("app"), secret("a, b"), secret("a:b")],
        ),
        (
            json("kubectl apply -f - <<< '{apiVersion: v1, kind: Secret, metadata: {name: db}, stringData: {user: bobby}, type: Opaque}' -n x"),
            vec![secret("bobby")],
        ),
        (
            json("echo \"{\\\"kind\\\": \\\"Secret\\\", \\\"data\\\": {\\\"user\\\": \\\"YXBw\\\"}, \\\"type\\\": \\\"Opaque\\\"}\" | kubectl apply -f -"),
            vec![secret("YXBw")],
        ),
        (
            json("cat <<EOF | kubectl apply -f -\n{\n  \"kind\": \"Secret\",\n  \"data\": {\n    \"user\": \"YXBw\"\n  }\n}\nEOF\n"),
            vec![secret("YXBw")],
        ),
        (json("kind: Secret\ndata: {user: \"YXBw"), vec![secret("YXBw")]),
        // Names of secrets say so whatever the manifest is.
        (json("data: {password: cGFzcw==, \"api-key\": \"abc12345\"}"), vec![secret("cGFzcw=="), secret("abc12345")]),
        (json("stringData: {\"token\": \"abc12345\"}"), vec![secret("abc12345")]),
        (json("stringData:\n  \"password\": hunter2\n  'client-secret': hunter3\n"), vec![secret("hunter2"), secret("hunter3")]),
        // Shapes.
        (
            r#"{"url":"https://x/login?to=https%3A%2F%2Fann%3Ahunter2%40host%2Fpath"}"#.into(),
            vec![secret("hunter2")],
        ),
        (r#"{"url":"postgres://ann%3Ahunter2%40host/db"}"#.into(), vec![secret("hunter2")]),
        // What `kubectl exec` makes of a command: every argument a parameter, encoded.
        (
            r#"{"requestURI":"/exec?command=sh&command=-c&command=PGPASSWORD%3Dhunter2+psql&stdin=true"}"#.into(),
            vec![secret("hunter2")],
        ),
        (r#"{"u":"/exec?command=mysql\u0026command=--password%3Dhunter2\u0026tty=1"}"#.into(), vec![secret("hunter2")]),
        (r#"{"u":"/exec?command=--password&command=hunter2&stdin=true"}"#.into(), vec![secret("hunter2")]),
        (r#"{"u":"/x?command=-H&command=Authorization%3A+Bearer+abcdefgh12345678"}"#.into(), vec![secret("abcdefgh12345678")]),
        (r#"{"u":"user%5Bpassword%5D=hunter2&commit=Go"}"#.into(), vec![secret("hunter2")]),
        (r#"{"u":"/x?q=%7B%22password%22%3A%22hunter2%22%7D"}"#.into(), vec![secret("hunter2")]),
        (r#"{"u":"/x?to=%2Fy%3Fq%3DPASSWORD%253Dhunter2%26z%3D1"}"#.into(), vec![secret("hunter2")]),
        (r#"{"u":"/x?q=%ff%c3%a9+%E2+--%70assword%3Dhunter2+%c3%a9"}"#.into(), vec![secret("hunter2")]),
        (format!(r#"{{"u":"/x?q=x%3D{github}"}}"#), vec![token(&github)]),
        (format!(r#"{{"text":"key xai-{}"}}"#, "aB3".repeat(26)), vec![token(&format!("xai-{}", "aB3".repeat(26)))]),
        (format!(r#"{{"text":"ntn_{}"}}"#, "12aB".repeat(11)), vec![token(&format!("ntn_{}", "12aB".repeat(11)))]),
        (format!(r#"{{"text":"figd_{}"}}"#, "a_-9".repeat(10)), vec![token(&format!("figd_{}", "a_-9".repeat(10)))]),
        (
            format!(r#"{{"url":"https://api.telegram.org/bot123456789:AA{}/getMe"}}"#, "h-Gx9".repeat(6) + "abc"),
            vec![token(&format!("AA{}abc", "h-Gx9".repeat(6)))],
        ),
        (
            format!(r#"{{"text":"use gx~8Q~{}."}}"#, "aB3-_".repeat(6) + "abcd"),
            vec![],
        ),
        (
            format!(r#"{{"text":"use gxP8Q~{} now"}}"#, "aB3-_".repeat(6) + "abcd"),
            vec![token(&format!("gxP8Q~{}abcd", "aB3-_".repeat(6)))],
        ),
        // What programs take in their command lines.
        (json("mysqldump -u root -phunter2 shop > x.sql"), vec![secret("hunter2")]),
        (json("cd /x && /usr/bin/mysql -uroot -p'hunter 2' -e 'select 1'"), vec![secret("hunter 2")]),
        (json("kubectl exec -it db-0 -- mariadb -phunter2 shop"), vec![secret("hunter2")]),
        (json("bash -c \"mysql -u root -phunter2 < x.sql\""), vec![secret("hunter2")]),
        (json("ssh h 'bash -c \"mysqldump -phunter2 x\"'"), vec![secret("hunter2")]),
        (json("mysqladmin -u root password hunter2"), vec![secret("hunter2")]),
        (json("docker login -u ann -p hunter2 registry.example.com"), vec![secret("hunter2")]),
        (json("sudo docker login -u ann --password hunter2 registry"), vec![secret("hunter2")]),
        (json("podman --log-level debug login \\\n  -u ann \\\n  -p=hunter2 quay.io"), vec![secret("hunter2")]),
        (json("helm registry login -u ann -p hunter2 x"), vec![secret("hunter2")]),
        (json("echo hunter2 | docker login -u ann --password-stdin"), vec![secret("hunter2")]),
        (json("echo \"ann:hunter2\" | sudo chpasswd"), vec![secret("ann:hunter2")]),
        (json("echo hunter2 | sudo -S id"), vec![secret("hunter2")]),
        (json("sshpass -p hunter2 ssh -p 22 ann@host"), vec![secret("hunter2")]),
        (json("sshpass -p'hunter2' scp -P 22 x h:"), vec![secret("hunter2")]),
        (json("az login --service-principal -u app -p hunter2 --tenant t"), vec![secret("hunter2")]),
        (json("az login -u ann --password hunter2"), vec![secret("hunter2")]),
        (json("redis-cli -h db -p 6379 -a hunter2 ping"), vec![secret("hunter2")]),
        (json("ldapsearch -x -D cn=admin -w hunter2 -b dc=x"), vec![secret("hunter2")]),
        (
            json("$s = ConvertTo-SecureString 'hunter2' -AsPlainText -Force; x (ConvertTo-SecureString -String \"gandalf\" -AsPlainText -Force)"),
            vec![secret("hunter2"), secret("gandalf")],
        ),
        (json("'hunter2' | ConvertTo-SecureString -AsPlainText -Force"), vec![secret("hunter2")]),
        (json("net user ann hunter2 /add"), vec![secret("hunter2")]),
        (json("C:\\Windows\\System32\\net.exe user ann hunter2"), vec![secret("hunter2")]),
        (json("htpasswd -b /etc/htpasswd ann hunter2"), vec![secret("hunter2")]),
        (json("htpasswd -bnBC 10 \"\" hunter2 | tr -d ':'"), vec![secret("hunter2")]),
        (
            json("openssl pkcs12 -in a -passin pass:hunter2 -passout pass:gandalf"),
            vec![secret("hunter2"), secret("gandalf")],
        ),
        (json("openssl passwd -6 -salt ab hunter2"), vec![secret("hunter2")]),
        (json("curl -sS https://x/y -u ann:hunter2"), vec![secret("hunter2")]),
        (json("curl --user=ann:hunter2 https://x/y"), vec![secret("hunter2")]),
        (json("smbclient //srv/share -U ann%hunter2"), vec![secret("hunter2")]),
        (json("sqlplus -S scott/tiger7@orcl @x.sql"), vec![secret("tiger7")]),
        (json("kubectl create secret generic x --from-literal=user=bobby --from-literal=api=hunter2"), vec![secret("bobby"), secret("hunter2")]),
        (json("CMD [\"mysqldump\", \"-uroot\", \"-phunter2\", \"x\"]"), vec![secret("hunter2")]),
        (json("command:\n  - mysqldump\n  - -uroot\n  - -phunter2\nimage: x"), vec![secret("hunter2")]),
        // A password that looks like the name of one: what would be its value goes too.
        (json("docker exec db mysql -uroot -pmy-secret-pw shop"), vec![secret("my-secret-pw"), secret("shop")]),
        (json("ssh h mysqldump -psecretpw | gzip"), vec![secret("secretpw")]),
        (json("sshpass -prootpassword scp a h:"), vec![secret("rootpassword"), secret("scp")]),
        (
            r#"{"parameters":{"commands":["mysqldump -uroot -pSecret123 shop > y.sql"]}}"#.into(),
            vec![secret("Secret123"), secret("shop")],
        ),
        (r#"["mysql","-ptoken=a1b2c3d4","shop"]"#.into(), vec![secret("token=a1b2c3d4")]),
        // Behind what the program is run by, through others, and in other forms.
        (json("ssm:sshpass -p hunter2 ssh h"), vec![secret("hunter2")]),
        (r#"{"resource":{"uri":"ssh:docker login -u me -p hunter2"}}"#.into(), vec![secret("hunter2")]),
        (json("kubectl exec x -- echo hunter2 | base64 -d | tr -d '\\n' | docker login --password-stdin"), vec![secret("hunter2")]),
        (json("docker login -u ann --password-stdin <<< 'hunter2'"), vec![secret("hunter2")]),
        (json("sudo -S id <<<hunter2"), vec![secret("hunter2")]),
        (json("net use Z: \\\\host\\share hunter2 /user:ann"), vec![secret("hunter2")]),
        (json("net use \\\\host\\share /user:acme\\ann hunter2"), vec![secret("hunter2")]),
        (json("rclone config create x s3 provider AWS secret_access_key hunter2 region eu"), vec![secret("hunter2")]),
        (json("rclone config password x pass hunter2"), vec![secret("hunter2")]),
        (json("ALTER ROLE x PASSWORD E'it\\'s'; COMMIT"), vec![secret("it\\\\'s")]),
        (json("create user x with encrypted password N'hunter2'"), vec![secret("hunter2")]),
        (json("jdbc:oracle:thin:scott/hunter2@db.example:1521:shop"), vec![secret("hunter2")]),
        (json("url=jdbc:oracle:oci:scott/hunter2@//db.example:1521/shop;"), vec![secret("hunter2")]),
        // The same as a list, in OpenTelemetry's form, and as Kubernetes is sent it.
        (r#"["mysqldump","-uroot","-phunter2","x"]"#.into(), vec![secret("hunter2")]),
        (r#"{"argv":["/usr/bin/docker","login","-u","ann","-p","hunter2"]}"#.into(), vec![secret("hunter2")]),
        (r#"["sshpass", "-phunter2", "ssh", "-p22", "h"]"#.into(), vec![secret("hunter2")]),
        (r#"["openssl","rsa","-passin","pass:hunter2"]"#.into(), vec![secret("hunter2")]),
        (r#"["net","user","ann","hunter2","/add"]"#.into(), vec![secret("hunter2")]),
        (r#"["bash","-c","mysql -phunter2"]"#.into(), vec![secret("hunter2")]),
        (
            r#"{"values":[{"stringValue":"redis-cli"},{"stringValue":"-a"},{"stringValue":"hunter2"}]}"#.into(),
            vec![secret("hunter2")],
        ),
        (r#"{"u":"/exec?command=mysql&command=-phunter2&container=db"}"#.into(), vec![secret("hunter2")]),
        (
            r#"{"u":"/exec?command=redis-cli&command=-a&command=hunter2&stdin=true"}"#.into(),
            vec![secret("hunter2")],
        ),
        // The arguments beside the command.
        (r#"{"command":"mysql","args":["-u","root","-phunter2"]}"#.into(), vec![secret("hunter2")]),
        (r#"{"args":["-p","hunter2","quay.io"],"command":"docker login"}"#.into(), vec![secret("hunter2")]),
        (r#"{"command":["/usr/bin/redis-cli"],"args":["-a","hunter2"]}"#.into(), vec![secret("hunter2")]),
        // Names of tools.
        (json("export BW_SESSION=\"a1b2c3d4e5f6a7b8==\""), vec![secret("a1b2c3d4e5f6a7b8==")]),
        (json("SECRET_KEY_BASE=0a1b2c3d4e5f AZURE_DEVOPS_EXT_PAT=abcdefg234567"), vec![secret("0a1b2c3d4e5f"), secret("abcdefg234567")]),
        (json("users:\n- name: ann\n  user:\n    client-key-data: LS0tLS1CRUdJTg=="), vec![secret("LS0tLS1CRUdJTg==")]),
        (r#"{"privateKeyData":"ewogICJ0eXBlIjogIng="}"#.into(), vec![secret("ewogICJ0eXBlIjogIng=")]),
        // Forms.
        (
            json("--b\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nann\r\n--b\r\nContent-Disposition: form-data; name=\"password\"\r\nContent-Type: text/plain\r\n\r\nhunter2\r\n--b--"),
            vec![secret("hunter2")],
        ),
        (json("<input type=\"text\" name=\"password\" value=\"hunter2\">"), vec![secret("hunter2")]),
        (json("<input value='hunter2' id=x type=password />"), vec![secret("hunter2")]),
        (json("<add key=\"Db.Password\" value=\"hunter2\"/>"), vec![secret("hunter2")]),
        (json("<wsse:Password Type=\"x#PasswordText\">hunter2</wsse:Password>"), vec![secret("hunter2")]),
        (json("<password><![CDATA[hunter2]]></password>"), vec![secret("hunter2")]),
        (json("<entry key=\"db.password\">hunter2</entry>"), vec![secret("hunter2")]),
        (
            json("<property>\n <name>x.ConnectionPassword</name>\n <value>hunter2</value>\n</property>"),
            vec![secret("hunter2")],
        ),
        // SQL.
        (json("SET PASSWORD FOR 'ann'@'%' = PASSWORD('hunter2');"), vec![secret("hunter2")]),
        (json("SET PASSWORD FOR ann = 'hunter2'"), vec![secret("hunter2")]),
        (json("SET PASSWORD FOR 'ann'@'%' TO 'hunter2'"), vec![secret("hunter2")]),
        (json("set password = password(\"hunter2\")"), vec![secret("hunter2")]),
        (json("ALTER USER ann PASSWORD 'hunter2'"), vec![secret("hunter2")]),
        (json("CREATE ROLE app WITH LOGIN PASSWORD 'hunter2' VALID UNTIL 'x'"), vec![secret("hunter2")]),
        (json("GRANT ALL ON *.* TO ann IDENTIFIED BY 'hunter2'"), vec![secret("hunter2")]),
        // Tokens of several parts.
        (json(&format!("curl -H x {}", airtable())), vec![token(&airtable())]),
        (json(&format!("key = \"{}\"", azure_key())), vec![token(&azure_key())]),
        (json(&format!("sid {} ok", salesforce())), vec![token(&salesforce())]),
        (json(&format!("a bot of Discord: client.run('{}')", discord())), vec![token(&discord())]),
        (json(&format!("Bot {}", discord())), vec![token(&discord())]),
        (
            json(&format!("git clone https://{}@dev.azure.com/acme/x", "abcdefgh234567z".repeat(4).split_at(52).0)),
            vec![token("abcdefgh234567z".repeat(4).split_at(52).0)],
        ),
        (
            json(&format!("https://discordapp.com/api/webhooks/123456789012345678/{}", "aB3-_".repeat(13))),
            vec![token(&format!("discordapp.com/api/webhooks/123456789012345678/{}", "aB3-_".repeat(13)))],
        ),
        (json(&format!("oc login --token=sha256~{}", "aB3-_".repeat(9))), vec![token(&format!("sha256~{}", "aB3-_".repeat(9)))]),
        (json(&format!("mail {}-us21", "0123456789abcdef".repeat(2))), vec![token(&format!("{}-us21", "0123456789abcdef".repeat(2)))]),
        // Behind escapes, and beside broken ones.
        (r#"{"text":"\ud800 pass\u0077ord=hunter2"}"#.into(), vec![secret("hunter2")]),
        (
            r#"{"text":"caf\u00e9 \ud83d\ude00 \/ password=hunter2 \/ caf\u00e9"}"#.into(),
            vec![secret("hunter2")],
        ),
    ]
}

#[test]
fn what_is_named_or_shaped_like_a_secret_is_taken_out() {
    for (json, secrets) in table() {
        let Excised { text, seen } = cleaned(&json);
        let mut expected = json.clone();
        for (secret, unguessable) in &secrets {
            assert!(!text.contains(&**secret), "{json}\n{text}");
            // The fingerprint is of what the JSON stands for.
            let plain: String = serde_json::from_str(&format!("\"{secret}\"")).expect("a string");
            let mark = if *unguessable {
                Marks.of_token(plain.as_bytes())
            } else {
                Marks.of_password(plain.as_bytes())
            };
            let at = expected.find(&**secret).unwrap_or_else(|| panic!("{secret} in {json}"));
            expected.replace_range(at..at + secret.len(), &mark);
        }
        // A number becomes a string; else only the secrets change.
        let unquoted = |text: &str| text.replace([' ', '"', '\\'], "");
        assert_eq!(unquoted(&text), unquoted(&expected), "{json}");
        assert_eq!(seen.len(), secrets.len(), "{json}: {seen:?}");
        for (path, _) in &seen {
            assert!(
                secrets.iter().all(|(secret, _)| secret.len() < 4 || !path.contains(&**secret)),
                "{path}"
            );
        }
        assert!(serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok(), "{text}");
        assert_eq!(cleaned(&text).text, text, "doing it again changes nothing");
    }
}

#[test]
fn the_fingerprint_of_an_encoded_secret_is_that_of_the_secret() {
    let aws = aws_secret();
    let json = format!(r#"{{"u":"/x?command=export+AWS_SECRET_ACCESS_KEY%3D{}"}}"#, aws.replace('/', "%2F"));
    let Excised { text, seen } = cleaned(&json);
    assert_eq!(seen, [("u".to_owned(), Marks.of_token(aws.as_bytes()))]);
    assert!(!text.contains("%2F"), "{text}");
}

#[test]
fn a_value_of_several_lines_or_with_escapes_is_one_secret() {
    for (text, secret) in [
        ("PASSWORD=\"a\\\"b7\" next", "a\\\"b7"),
        ("PASSWORD=\"first\nsecond\"; go", "first\nsecond"),
        ("PASSWORD=\"first\nsay \"yes\"", "first"),
        ("password: |\n  hunter2\n\n  more\nuser: bob\n", "hunter2\n\n  more"),
        ("db:\n  password: |-\n    hunter2\n    more\n  user: bob\n", "hunter2\n    more"),
    ] {
        let json = serde_json::Value::from(text).to_string();
        let Excised { text: clean, seen } = cleaned(&json);
        assert_eq!(seen, [(String::new(), Marks.of_password(secret.as_bytes()))], "{text}");
        let clean: String = serde_json::from_str(&clean).unwrap();
        assert_eq!(clean, text.replacen(secret, &Marks.of_password(secret.as_bytes()), 1));
    }
}

#[test]
fn what_is_no_secret_stays() {
    for json in [
        r#"{"accessKeyId":"AKIAIOSFODNN7EXAMPLE","accessKey":"ASIAIOSFODNN7EXAMPLE"}"#,
        r#"{"nextToken":"eyJpZCI6MTIzNDU2Nzg5MDEyMzQ1Njc4OTB9","maxTokens":4096,"max_tokens":4096}"#,
        r#"{"clientToken":"550e8400-e29b-41d4-a716-446655440000","clientRequestToken":"550e8400-e29b-41d4"}"#,
        r#"{"usage":{"input_tokens":12,"output_tokens":34},"gen_ai.usage.input_tokens":5}"#,
        r#"{"logprobs":[{"token":" hello","logprob":-0.1},{"token":"Hello"}]}"#,
        r#"{"hashed_token":"qZk+NkcGgWq6PiVxeFDCbJzQ2J0=","token_id":1234567,"token_type":"Bearer"}"#,
        r#"{"fingerprint":"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}"#,
        r#"{"password":"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}"#,
        r#"{"client_token":"hmac-sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}"#,
        r#"{"password":"","passwd":null,"pwd":"/home/ann","secret":true,"pass":120}"#,
        r#"{"password":"HIDDEN_DUE_TO_SECURITY_REASONS","masterUserPassword":"****","token":"***"}"#,
        r#"{"password":"${DB_PASSWORD}","token":"$TOKEN","apiKey":"{{ secrets.key }}","secret":"<your-secret>"}"#,
        r#"{"secret":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbCdEf","secretId":"prod/db"}"#,
        r#"{"privateKey":"/etc/ssl/private/key.pem","encryptionKey":"arn:aws:kms:eu-west-1:1:key/2"}"#,
        r#"{"text":"The token was rejected; ask for a new password: it must have eight letters."}"#,
        r#"{"secret_id":"prod/db-2024","text":"secret_id: arn:aws:secretsmanager:x and --secret_id prod/db-2024"}"#,
        r#"{"password_policy":"eight letters at least","time_code":"123456","bypassCode":"12345"}"#,
        r#"{"text":"basic authentication is the bearer of bad news, Basic Information"}"#,
        r#"{"text":"def f(token: str, password: str = None): password = os.environ['PW'] or get_password()"}"#,
        r#"{"text":"connect(password=password, token=config.token, api_key=self.api_key)"}"#,
        r#"{"text":"PWD=/root/project\nOLDPWD=/root\nTOKENIZERS_PARALLELISM=false"}"#,
        r#"{"text":"npm_config_user_agent_is_something_long and sk-loading-indicator-wrapper, task-force-of-nations-2024"}"#,
        r#"{"url":"https://github.com/ann/x?tab=readme@v1:2","to":"mailto:ann@example.com","s":"spiffe://acme/release"}"#,
        r#"{"url":"https://ann@example.com/x","git":"git@github.com:ann/x.git"}"#,
        r#"{"text":"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----","publicKey":"MIIBIjANBgkqhkiG9w0BAQEFAAOC"}"#,
        r#"{"required":["user","password","token"],"properties":{"password":{"type":"string"}}}"#,
        r#"{"kind":"ConfigMap","data":{"a":"b"}}"#,
        r#"{"name":"token","description":"what the caller got"}"#,
        r#"{"text":"caf\u00e9 \u003cb\u003e \ud83d\ude00"}"#,
        // What only describes a secret.
        r#"{"secret":{"name":"db","arn":"arn:aws:x","secretName":"db","defaultMode":420,"createdAt":"2026","rotation":{"period":"x"}}}"#,
        r#"{"password":{"type":"string","minLength":12345,"title":"Password","description":"of the user"}}"#,
        r#"{"password":{"valueFrom":{"secretKeyRef":{"name":"db","key":"x"}}},"secret":{"Ref":"Db","Fn::GetAtt":["a","b"]}}"#,
        r#"{"authorization":{"action":"Microsoft.Compute/delete","scope":"/subscriptions/1234"}}"#,
        r#"{"token":{"symbol":"ETH","address":"0x52908400098527886E0F7030069857D2E4169EE7"}}"#,
        r#"{"auth":{"type":"userpass","method":"oidc"},"mnemonic":"MOV","publicKeyPem":"MIIBIjANBgkqhkiG9w0BAQEFAAOC"}"#,
        r#"{"text":"login and password required; to set password policy, set TOKEN value; the password 'must have 8'"}"#,
        r#"{"text":"The resource identified by 'prod/db' was not found; resources identified by name"}"#,
        r#"{"text":"kind: SecretStore\ndata:\n  a: b\n---\nkind: ConfigMap\ndata:\n  c: d\n"}"#,
        r#"{"text":"{kind: SecretStore, data: {a: b}} {kind: 'ConfigMap', data: {c: d}} a kind: secretly, data: {e: f}"}"#,
        r#"{"text":"kind: Secret\nmetadata: {name: db, labels: {app: x}}\ndata: {{ toYaml .Values.all }}\ntype: Opaque"}"#,
        r#"{"url":"https://x/?to=https%3A%2F%2Fhost%2Fpath%3Fmail%3Dann%40example.com","t":"10:00:00:AA"}"#,
        r#"{"url":"/api/v1/pods?fieldSelector=spec.nodeName%3Dip-10-0-0-1&labelSelector=token%3Dx&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ"}"#,
        r#"{"url":"/exec?command=--password&container=app&command=ls&q=100%25+of+it&r=%zz%"}"#,
        r#"{"text":"sha256:AAf86d081884c7d659a2feaa0c55ad015a3 8Q~ short, Q~ and :AA"}"#,
        r#"{"imagePullSecrets":[{"name":"regcred"}],"secretName":"db"}"#,
        r#"{"objectRef":{"resource":"secrets","name":"n"},"requestObject":{"metadata":{"labels":{"a":"b"}}},"responseStatus":{"code":200}}"#,
        r#"{"objectRef":{"resource":"configmaps"},"requestObject":{"data":{"user":"ann"}},"note":"secrets"}"#,
        r#"{"mount_type":"system","data":{"user":"ann"}}"#,
        r#"{"objectRef":{"resource":"secrets"},"requestObject":[{"op":"add","path":"/metadata/labels/a","value":"b"}]}"#,
        r#"{"executor":{"key":"aws:arn:aws:iam::111122223333:role/release","type":"workload"},"credential":{"id":"ASIAIOSFODNN7EXAMPLE","jti":"550e8400"}}"#,
        r#"{"command":["curl","--user","ann","https://x:8080/y"],"other":["ps","-u","a:b"]}"#,
        r#"{"text":"enter the password again to confirm: repeat it","confirm":"yes","repeat":"3","again":"no"}"#,
        r#"[{"token=eyJtokeneyJeyJpassword://":null},"secret://vault/db"]"#,
        // Flags that are a secret's for other programs only, prompts, variables, and talk about all of them.
        r#"{"text":"ssh -p 22 h; mkdir -p /a/b; docker run -p 80:80 x login; nmap -p 1-1024 h; cp -p a b"}"#,
        r#"{"text":"mysql -u root -p shop; mysqldump --protocol=tcp x; docker run --name mysql -p3306:3306 mysql:8"}"#,
        r#"{"text":"mysql -p$PASS; mysql -p\"$pw\"; docker login -p $(cat f); docker login -u ann; redis-cli -a \"$REDIS\""}"#,
        r#"{"text":"sshpass -e ssh -p 2222 h; sshpass -f /run/pw ssh -p 22 h; psql -h mysql -p5432"}"#,
        r#"{"text":"net user; net user ann /active:no; the net user base grew quickly; curl -u ann https://x; zip -r a b"}"#,
        r#"{"text":"htpasswd -c /etc/htpasswd ann; openssl rsa -passin env:PW -passin file:/x; ldapsearch -W -x; don't"}"#,
        r#"{"text":"ConvertTo-SecureString $pw -AsPlainText; cat pw | docker login --password-stdin; echo hi | sudo tee x"}"#,
        r#"{"text":"image:mysql -p 3306; docker tag mysql:8 acme:mysql; service:redis-cli; see:docker login"}"#,
        r#"{"text":"docker run -v db:/var/lib/mysql -p3306:3306 x; docker run --link db:mysql -p3306:3306 x"}"#,
        r#"{"text":"net use Z: /delete; net use \\\\h\\s /persistent:yes; net use \\\\h\\s * /user:ann; the net use of it"}"#,
        r#"{"text":"rclone config create token s3 provider AWS region eu; rclone config create x drive"}"#,
        r#"{"text":"ALTER USER x PASSWORD EXPIRE; ALTER ROLE x PASSWORD NULL; ALTER USER x PASSWORD E''"}"#,
        r#"{"text":"jdbc:oracle:thin:@//db.example:1521/shop jdbc:oracle:thin:/@tns jdbc:oracle:thin:scott/${PW}@db"}"#,
        r#"{"text":"echo hi | base64 | tr -d x; cat f | base64 -d | docker login --password-stdin; cat <<< x"}"#,
        r#"["ssh","-p","22","docker","run","-p","80:80","--name","mysql","-p3306:3306"]"#,
        r#"["mkdir","-p","mysql","a"]"#,
        r#"["kubectl","patch","deployment","mongo","-p","{\"spec\":{\"replicas\":1}}"]"#,
        r#"{"text":"kubectl patch sts mongo -p '{\"spec\":{}}'; docker run -d --name mongo -p 27017:27017 mongo"}"#,
        r#"{"command":"ssh","args":["-p","22"],"other":{"args":["-phunter2"]},"name":"mysql"}"#,
        r#"{"text":"<label for='password'>Password</label><div id='password'>Enter your password</div><a id='urlpassword'>#</a><input name='q' value='abc12345'>"}"#,
        r#"{"text":"<string name='password'>Password</string><input type='password' value=''/><name>retries</name><value>3</value>"}"#,
        r#"{"text":"form-data; name=\"file\"\n\nabc12345\n--b","key-data":"public","publicKeyData":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"}"#,
        r#"{"text":"SET PASSWORD for everybody, please; we set password rules; they set password = NULL"}"#,
        r#"{"text":"pathology.txt 00D000000000001 is our org; abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst"}"#,
        r#"{"session":"0193a7b0-0000-7000","path":"abc12345","keybase":"ann12345","stopSession":"abc12345"}"#,
        "[]",
        "0",
        "\"\"",
        "{}",
    ] {
        let Excised { text, seen } = cleaned(json);
        assert_eq!(text, json);
        assert!(matches!(text, Cow::Borrowed(_)), "{json}");
        assert!(seen.is_empty());
    }
}

#[test]
fn a_path_names_the_place_and_never_a_person_or_a_secret() {
    let json = format!(
        r#"{{"disclose":{{"arguments":{{"env":[1,{{"DB_PASSWORD":"hunter2"}}],"{}":{{"password":"a"}},"ann@example.com":{{"password":"b"}}}},"event":{}}}}}"#,
        github(),
        serde_json::Value::from(r#"{"a":[{"secret":"c"}]}"#)
    );
    let paths: Vec<String> = cleaned(&json).seen.into_iter().map(|(path, _)| path).collect();
    assert_eq!(
        paths,
        [
            "disclose.arguments.env[1].DB_PASSWORD",
            "disclose.arguments.*",
            "disclose.arguments.*.password",
            "disclose.arguments.*.password",
            "disclose.event.a[0].secret",
        ]
    );
}

#[test]
fn broken_json_with_a_hint_is_refused_without_showing_it() {
    for json in [
        r#"{"password":"hunter2""#,
        r#"{"password":"hunter2"#,
        r#"{"password" "hunter2"}"#,
        r#"{"password":hunter2}"#,
        r#"{"password":"hunter2"} {"password":"hunter2"}"#,
        r#"{"password":"hunter2",}"#,
        r#"["password":"hunter2"]"#,
        r#"{"password":"hunter2"]"#,
        r#""password":"hunter2""#,
    ] {
        let error = excise(json, &Marks).expect_err(json).to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn depth_is_limited_and_never_overflows() {
    let nested = |depth: usize| format!("{}\"password=hunter2\"{}", "[".repeat(depth), "]".repeat(depth));
    assert!(excise(&nested(128), &Marks).is_ok());
    let error = excise(&nested(129), &Marks).expect_err("too deep").to_string();
    assert!(error.contains("nested deeper than 128"), "{error}");
    assert!(excise(&nested(100_000), &Marks).is_err());
    // JSON in a string in a string …: what is too deep is read as a text.
    let mut json = r#"{"password":"hunter2"}"#.to_owned();
    for _ in 0..12 {
        json = serde_json::json!([json]).to_string();
    }
    assert!(!cleaned(&json).text.contains("hunter2"));
}

#[test]
fn time_does_not_grow_with_the_square_of_a_text() {
    let mut texts: Vec<String> = Vec::new();
    for piece in [
        "eyJ.",
        "eyJhbGciOiJ.",
        "bearer ",
        "basic aaaaaaaa ",
        "password ",
        "password=(",
        "password: a ",
        "token=token=",
        "://a:b",
        "-----BEGIN PRIVATE KEY ",
        "-----BEGIN ",
        "-u ",
        "sk-",
        "ya29./",
        "password,a=",
        "password=\\\"",
        "key key ",
        "Cookie: a\\\"",
        "--password ",
        "secret>",
        "<secret>",
        "sig=&",
        "\\ud800",
        "pass\\u0077ord=",
        "%25",
        "%2525",
        "&a=--password",
        "%26password%3D",
        "+",
        "kind",
        "kind: Secret, data: {",
        "{kind: Secret, data: {a: \\\"",
        "kind: Secret\\ndata: {a: ",
        "kind: Secret\\ndata: {a: '",
        "kind: Secret\\ndata: {\\\\\\\"",
        "mysql ",
        "mysql -pa ",
        "docker login -p a ",
        "echo a | docker login --password-stdin ",
        "\\\"",
        "\\\\\\\" '",
        "\\\\",
        "'a \\\" ",
        "<a ",
        "<a b=\\\"c",
        "<password a=b>",
        "form-data; name=password\\n",
        "set password for ",
        "discord abcdefghijklmnopqrstuvwxyz.abcdef.",
        "pat",
    ] {
        texts.push(format!("{{\"password\":1,\"a\":\"curl {}\"}}", piece.repeat(60_000 / piece.len())));
    }
    for piece in [
        r#""args":[1],"#,
        r#""args":["mysql"],"#,
        r#""value":1,"#,
        r#""data":1,"#,
        r#""password":"x","#,
        r#""data":{"kind":1},"#,
    ] {
        texts.push(format!("{{{}\"z\":\"Secret\"}}", piece.repeat(6_000)));
    }
    let mut deep = r#"{"name":"password","value":1}"#.to_owned();
    for _ in 0..120 {
        deep = format!(r#"{{"value":{deep},"data":{{}}}}"#);
    }
    texts.push(deep);
    for text in texts {
        let start = std::time::Instant::now();
        cleaned(&text);
        // Less than one as it is; the square would take many.
        assert!(start.elapsed().as_secs() < 5, "{:?}: {}", start.elapsed(), &text[..60]);
    }
}

/// JSON with the secret of `holder` somewhere in it.
fn planted() -> impl Strategy<Value = (String, String)> {
    let secret = "[a-z]{3}[0-9]{3}[A-Za-z]{4,20}[0-9]";
    let holder = prop_oneof![
        Just(("password", r#"{"password":@}"#)),
        Just(("token", r#"{"a":1,"access_token":@,"b":[]}"#)),
        Just(("label", r#"[{"name":"X_SECRET","value":@}]"#)),
        Just(("flag", r#"["--api-key",@,"x"]"#)),
        Just(("text", r#"{"t":"run PASSWORD=# --x"}"#)),
        Just(("url", r#"{"t":"see ftp://u:#\u0040h/p"}"#)),
        Just(("header", r#"{"t":"GET / \r\nAuthorization: Bearer #1234567890\r\n"}"#)),
    ];
    (secret, holder, any_json(), 0..3_usize, any::<bool>()).prop_map(
        |(secret, (_, holder), other, levels, first)| {
            let mut json = holder.replace('@', &format!("\"{secret}\"")).replace('#', &secret);
            for _ in 0..levels {
                json = serde_json::Value::from(json).to_string();
            }
            let json = if first { format!("[{json},{other}]") } else { format!("[{other} , {json}]") };
            (secret, json)
        },
    )
}

fn any_json() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        any::<String>(),
        "[ -~]{0,40}",
        "(token|password|secret|bearer|basic|key|://|eyJ|sk-|-u|curl|name|value|[ =:\"'\\\\@.,-]){0,12}",
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        text.clone().prop_map(|t| serde_json::Value::from(t).to_string()),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(" ,\n"))),
            prop::collection::vec((text.clone(), inner), 0..5).prop_map(|members| {
                let members: Vec<String> = members
                    .into_iter()
                    .map(|(name, value)| format!("{}: {value}", serde_json::Value::from(name)))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// Equal but for strings, and for numbers that became strings.
fn same_shape(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object, String};
    match (a, b) {
        (Array(a), Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_shape(a, b)),
        (Object(a), Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_none_or(|b| same_shape(a, b)))
        }
        (String(_) | Number(_), String(_)) => true,
        (a, b) => a == b,
    }
}

proptest! {
    #[test]
    fn what_is_planted_is_found((secret, json) in planted()) {
        let Excised { text, seen } = cleaned(&json);
        prop_assert!(!text.contains(&secret), "{}\n{}", json, text);
        prop_assert!(!seen.is_empty());
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).map_err(|e| TestCaseError::fail(format!("{e}: {text}")));
        prop_assert!(same_shape(&parse(&json)?, &parse(&text)?), "{}\n{}", json, text);
        prop_assert_eq!(&cleaned(&text).text, &text);
    }

    #[test]
    fn any_json_keeps_its_shape(json in any_json()) {
        let Excised { text, seen } = cleaned(&json);
        prop_assert_eq!(seen.is_empty(), text == json);
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).map_err(|e| TestCaseError::fail(format!("{e}: {text}")));
        prop_assert!(same_shape(&parse(&json)?, &parse(&text)?), "{}\n{}", json, text);
        prop_assert_eq!(&cleaned(&text).text, &text, "doing it again changes nothing");
    }

    #[test]
    fn any_text_is_survived(text in any::<String>(), noise in "(token|password|Bearer |eyJ|\\\\u|\"|\\{|\\[|:|,|\\]|\\}|\\\\|é|=|1| ){0,30}") {
        let _either = excise(&text, &Marks);
        let _either = excise(&noise, &Marks);
    }
}
