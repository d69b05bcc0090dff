//! What stands behind `/mcp/NAME`: servers at URLs, and programs that Deed starts.

use std::{collections::BTreeMap, sync::Arc};

use deed_gateway::stdio::Program;
use deed_ledger::Check;

use super::Engine;
use crate::settings::{Behind, FILE, Settings};

/// The programs of the settings, by the name of their server. None is started before somebody asks for it.
pub(super) fn programs(settings: &Settings) -> BTreeMap<String, Arc<Program>> {
    let program = |(name, behind): (&String, &Behind)| match behind {
        Behind::Url { .. } => None,
        Behind::Program { command, processes, idle, .. } => {
            Some((name.clone(), Program::new(name, command.clone(), *processes, *idle)))
        }
    };
    settings.mcp.iter().filter_map(|(name, server)| program((name, &server.behind))).collect()
}

impl Engine {
    /// The program of server `name`, where it is one.
    pub(crate) fn program(&self, name: &str) -> Option<Arc<Program>> {
        self.inner.programs.get(name).cloned()
    }

    /// Which servers `deed serve` stands in front of, and which of them cannot be started.
    pub(super) fn gateway_check(&self) -> Option<Check> {
        let (mut servers, mut troubles) = (Vec::new(), Vec::new());
        for (name, server) in &self.settings().mcp {
            match &server.behind {
                Behind::Url { url, .. } => servers.push(format!("{name} at {url}")),
                // Arguments may hold secrets (D9).
                Behind::Program { command, line, .. } => {
                    servers.push(format!("{name} by `{}`", command.program));
                    if let Some(why) = self.program(name).and_then(|program| program.trouble()) {
                        troubles
                            .push(format!("`{FILE}`, line {line}: server `{name}` cannot be started: {why}"));
                    }
                }
            }
        }
        let ok = troubles.is_empty();
        troubles.push(format!("MCP servers behind deed serve: {}", servers.join(", ")));
        (!servers.is_empty()).then(|| Check { name: "gateway", ok, detail: troubles.join("; ") })
    }
}
