//! A small MCP server over standard input and output, of both eras, to try the gateway with.
//!
//!     deed mcp --server files -- target/debug/examples/files_server effects.log
//!
//! Its tools do nothing but say so: each call of `write` or `wipe` adds a line to the file that is named, so that
//! anybody can count what was really done.

use std::{
    fs::OpenOptions,
    io::{BufRead, Write},
};

use serde_json::{Value, json};

fn main() -> std::io::Result<()> {
    let effects = std::env::args().nth(1).unwrap_or_else(|| "effects.log".into());
    let (stdin, mut stdout) = (std::io::stdin().lock(), std::io::stdout());
    for line in stdin.lines() {
        let Ok(message) = serde_json::from_str::<Value>(&line?) else { continue };
        let Some(id) = message.get("id").cloned() else { continue };
        let answer = match answer(&message, &effects)? {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err((code, why)) => {
                json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": why } })
            }
        };
        writeln!(stdout, "{answer}")?;
        stdout.flush()?;
    }
    Ok(())
}

type Answer = Result<Value, (i64, &'static str)>;

fn answer(message: &Value, effects: &str) -> std::io::Result<Answer> {
    let params = &message["params"];
    Ok(Ok(match message["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "files", "version": "1.0.0" },
        }),
        "server/discover" => json!({
            "resultType": "complete",
            "supportedVersions": ["2026-07-28"],
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "files", "version": "1.0.0" },
        }),
        "ping" => json!({}),
        "tools/list" => json!({ "tools": tools() }),
        "tools/call" => call(params["name"].as_str().unwrap_or_default(), &params["arguments"], effects)?,
        _ => return Ok(Err((-32601, "Method not found"))),
    }))
}

fn tools() -> Value {
    let path =
        json!({ "type": "object", "properties": { "path": { "type": "string" } }, "required": ["path"] });
    // What the environment says of a tool stands in for an update of the server.
    let read = std::env::var("FILES_READ").unwrap_or_else(|_| "Reads a file".into());
    json!([
        { "name": "read", "description": read, "inputSchema": path },
        { "name": "write", "description": "Writes a file", "inputSchema": path },
        { "name": "wipe", "description": "Wipes a folder", "inputSchema": path },
        { "name": "vendor", "description": "Says what is known of a vendor", "inputSchema": { "type": "object" } },
    ])
}

fn call(tool: &str, arguments: &Value, effects: &str) -> std::io::Result<Value> {
    let text = |text: String| json!({ "content": [{ "type": "text", "text": text }] });
    let path = arguments["path"].as_str().unwrap_or_default();
    Ok(match tool {
        "read" => text(format!("what stands in {path}")),
        "write" | "wipe" => {
            let mut file = OpenOptions::new().create(true).append(true).open(effects)?;
            writeln!(file, "{tool} {path}")?;
            text(format!("{tool} {path}: done"))
        }
        "vendor" => {
            let vendor = json!({ "name": "Initech", "tax_id": "DE-4711", "rating": "good" });
            json!({ "content": [{ "type": "text", "text": vendor.to_string() }], "structuredContent": vendor })
        }
        _ => {
            json!({ "content": [{ "type": "text", "text": format!("there is no tool {tool}") }], "isError": true })
        }
    })
}
