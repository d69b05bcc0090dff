//! Who is called, and in which words.

use std::net::SocketAddr;

use clap::ValueEnum;

use super::upstream::TOOL;

/// Ids of requests are this and what follows: all are of one length.
pub(super) const FIRST_ID: u64 = 1_000_000_000;

/// Which protocol is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Era {
    /// Every request stands for itself.
    #[value(name = "2026-07-28")]
    Modern,
    /// A session for each connection.
    #[value(name = "2025-11-25")]
    Legacy,
}

/// Who is called, and how.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// What tables call it.
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    pub(super) path: String,
    pub(super) era: Era,
    /// The tool's name there.
    pub(super) tool: String,
}

impl Target {
    /// The tool at `path` of `address`, under its own name.
    pub(super) fn new(name: &'static str, address: SocketAddr, path: &str, era: Era) -> Self {
        Target { name, address, path: path.to_owned(), era, tool: TOOL.to_owned() }
    }

    /// The head of a request with a body of that length; `more` are headers besides.
    pub(super) fn head(&self, method: &str, more: &str, length: usize) -> String {
        let Target { address, path, .. } = self;
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{more}Content-Length: {length}\r\n\r\n"
        )
    }

    /// A whole call, and where its id stands in it.
    pub(super) fn call(&self, session: Option<&str>) -> (Vec<u8>, usize) {
        let arguments = r#"{"path":"/srv/reports/2026-11.csv","amount":250}"#;
        let tool = &self.tool;
        let (meta, more) = match self.era {
            Era::Modern => (
                concat!(
                    r#","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
                    r#""io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"#,
                    r#""io.modelcontextprotocol/clientCapabilities":{}}"#
                ),
                format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n"),
            ),
            Era::Legacy => ("", in_session(session)),
        };
        let before = r#"{"jsonrpc":"2.0","id":"#;
        let body = format!(
            r#"{before}{FIRST_ID},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}{meta}}}}}"#
        );
        let head = self.head("POST", &more, body.len());
        let at = head.len() + before.len();
        ((head + &body).into_bytes(), at)
    }
}

/// The headers of a request of 2025-11-25.
pub(super) fn in_session(session: Option<&str>) -> String {
    let session = session.map(|id| format!("Mcp-Session-Id: {id}\r\n")).unwrap_or_default();
    format!("MCP-Protocol-Version: 2025-11-25\r\n{session}")
}
