//! The real program, in a process of its own.

use std::{
    error::Error,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::http::Client;

type Failure = Box<dyn Error + Send + Sync>;

/// A running `deed serve`.
pub(crate) struct Server {
    child: Child,
    /// Where its API listens.
    pub(crate) address: SocketAddr,
    /// Where it takes OTLP over HTTP.
    pub(crate) otlp: SocketAddr,
    /// How long it took until it was ready.
    pub(crate) ready_after: Duration,
}

/// Starts `deed serve` on the store in `dir` and waits until it is ready.
pub(crate) fn start(dir: &Path) -> Result<Server, Failure> {
    let (address, otlp, grpc) = (free_address()?, free_address()?, free_address()?);
    let started = Instant::now();
    let child = Command::new(program()?)
        .args([
            "serve",
            "--listen",
            &address.to_string(),
            "--otlp-http",
            &otlp.to_string(),
            "--otlp-grpc",
            &grpc.to_string(),
            "--data",
        ])
        .arg(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut server = Server { child, address, otlp, ready_after: Duration::ZERO };
    while started.elapsed() < Duration::from_secs(120) {
        if let Some(status) = server.child.try_wait()? {
            return Err(format!("`deed serve` ended: {status}").into());
        }
        if let Ok(mut client) = Client::connect(address)
            && client.get("/readyz").is_ok_and(|(status, _)| status == 200)
        {
            server.ready_after = started.elapsed();
            return Ok(server);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err("`deed serve` did not get ready in two minutes".into())
}

/// The program beside this one.
pub(crate) fn program() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe()?.with_file_name("deed");
    if program.exists() {
        Ok(program)
    } else {
        Err("build the program first: cargo build --release -p deed".into())
    }
}

pub(crate) fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

impl Server {
    /// The most memory it ever had resident, in bytes.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        self.status("VmHWM:")
    }

    /// The memory that is resident now, in bytes.
    pub(crate) fn memory(&self) -> Option<u64> {
        self.status("VmRSS:")
    }

    fn status(&self, what: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with(what))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
    }

    /// Ends it as an operator would, and waits.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        Command::new("kill").arg(self.child.id().to_string()).status()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it as a power cut would end the process.
    pub(crate) fn kill(mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only on the way out of an error: nothing of the store is needed then.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) && self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}
