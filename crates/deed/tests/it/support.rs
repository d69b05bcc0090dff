//! Running the real program.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A folder of its own, and the program working on a store in it.
pub(crate) struct Home {
    folder: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Home { folder: TempDir::new().unwrap() }
    }

    /// One whose store holds the migration of `examples/i9.ndjson`.
    pub(crate) fn with_migration() -> Self {
        let home = Home::new();
        home.run(["append", examples().join("i9.ndjson").to_str().unwrap()]).good();
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The data directory.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The program with `arguments`, its data directory in this folder and nothing of the caller's settings.
    pub(crate) fn command<A: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = deed();
        command
            .args(arguments)
            .env("DEED_DATA", self.store())
            .env("XDG_DATA_HOME", self.path("share"))
            .current_dir(self.folder.path());
        command
    }

    pub(crate) fn run<A: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ran {
        finish(self.command(arguments).output().unwrap())
    }

    pub(crate) fn run_with_input<A: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        input: &[u8],
    ) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input).unwrap();
        drop(stdin);
        finish(child.wait_with_output().unwrap())
    }

    /// Starts `deed serve` on ports that are free, and waits until it serves.
    pub(crate) fn serve(&self, more: &[&str]) -> Serving {
        serve(
            self.command([
                "serve",
                "--json",
                "--listen",
                "127.0.0.1:0",
                "--otlp-grpc",
                "off",
                "--otlp-http",
                "127.0.0.1:0",
            ])
            .args(more),
        )
    }
}

/// The program without the caller's settings.
pub(crate) fn deed() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deed"));
    for name in [
        "DEED_DATA",
        "DEED_SERVER",
        "DEED_TOKEN",
        "DEED_LOG",
        "NO_COLOR",
        "RUST_LOG",
        "COLUMNS",
        "TRACEPARENT",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
        "DEED_ID_TOKEN",
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

pub(crate) fn finish(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ran {
    /// It must have ended well.
    #[track_caller]
    pub(crate) fn good(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// It must have ended with `code`, and said why.
    #[track_caller]
    pub(crate) fn bad(self, code: i32, says: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        for word in says {
            assert!(self.err.contains(word), "`{word}` is not said: {self:#?}");
        }
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// One document a line.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:#?}")))
            .collect()
    }
}

/// A server that runs.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) otlp_http: Option<SocketAddr>,
}

pub(crate) fn serve(command: &mut Command) -> Serving {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line.is_empty() {
        panic!("the server did not start: {:?}", finish(child.wait_with_output().unwrap()));
    }
    let addresses: Value = serde_json::from_str(&line).unwrap();
    let address = |name: &str| addresses[name].as_str().map(|text| text.parse().unwrap());
    Serving { http: address("http"), otlp_http: address("otlp_http"), child }
}

impl Serving {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.http.unwrap())
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ctrl-C, and the end in good order.
    pub(crate) fn stop(mut self) -> i32 {
        signal(&self.child, "INT");
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

/// A test that ends leaves no server behind, however it ends.
impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends a signal as a shell does: without unsafe code there is no other way.
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// A record as a client sends it.
pub(crate) fn record(number: u64) -> String {
    format!(
        "{{\"kind\":\"observation\",\"time\":\"2026-11-20T10:00:00.{:06}Z\",\"executor\":{{\"type\":\"agent\",\"key\":\"agent:a-{}\"}},\
         \"operation\":\"tickets/create\",\"outcome\":{{\"status\":\"success\"}},\"disclose\":{{\"arguments\":{{\"number\":{number}}}}}}}",
        number % 1_000_000,
        number % 7
    )
}

/// The folder of samples of this repository.
pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// The action of `examples/i9.ndjson` that does not add up.
pub(crate) const ODD: &str = "019f92a4-7c00-7000-8000-000000000009";
/// The trace of `examples/i9.ndjson`.
pub(crate) const TRACE: &str = "7d1f0c3ae52b4f6f9a4be0b8c2d71e55";
