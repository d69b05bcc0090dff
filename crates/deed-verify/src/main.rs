//! `deed-verify`: checks a static log (a folder of tiles) offline, for the person who trusts nobody.
//!
//! Of the rest of Deed it uses one crate, `deed-seal`, and neither server nor async runtime. What it
//! reads is standard (C2SP tlog-tiles), so that it checks logs of others as well as those of Deed.

mod arguments;
mod output;

use std::io::{self, Write as _};
use std::process::ExitCode;

use deed_seal::verify::{Against, verify};
use deed_verify::Folder;

use arguments::{Arguments, Request};

/// The exit codes of Deed's commands, as far as this one uses them.
mod exit {
    pub(crate) const VERIFIED: u8 = 0;
    pub(crate) const FAILED: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    pub(crate) const VIOLATED: u8 = 4;
    pub(crate) const UNVERIFIED: u8 = 5;
}

fn main() -> ExitCode {
    let code = match arguments::parse(std::env::args_os().skip(1)) {
        Ok(Request::Verify(arguments)) => run(&arguments),
        Ok(Request::Print(text)) => finish(io::stdout().write_all(text.as_bytes()), exit::VERIFIED),
        Err(error) => {
            let text = format!("error: {error}\n\n{}", arguments::USAGE);
            finish(io::stderr().write_all(text.as_bytes()), exit::USAGE)
        }
    };
    ExitCode::from(code)
}

fn run(arguments: &Arguments) -> u8 {
    let read = || {
        let keys = arguments.keys()?;
        let mut since = arguments.since()?;
        let folder = Folder::open(&arguments.folder)
            .map_err(|error| format!("cannot open `{}`: {error}", arguments.folder.display()))?;
        since.extend_from_slice(folder.kept());
        Ok::<_, String>((keys, since, folder))
    };
    let (keys, since, folder) = match read() {
        Ok(read) => read,
        Err(error) => return finish(writeln!(io::stderr(), "error: {error}"), exit::FAILED),
    };
    let against = Against { keys: &keys, since: &since, also: folder.others(), ..Against::default() };
    let mut report = verify(&folder, &against);
    report.unchecked.extend_from_slice(folder.foreign());
    let code = match report.verified() {
        Some(true) => exit::VERIFIED,
        Some(false) => exit::VIOLATED,
        None => exit::UNVERIFIED,
    };
    let text = if arguments.json { output::json(&report) } else { output::text(&report, arguments) };
    finish(io::stdout().write_all(text.as_bytes()), code)
}

/// `code`, unless its reason could not be told. That nobody reads on is no failure.
fn finish(told: io::Result<()>, code: u8) -> u8 {
    match told {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => exit::FAILED,
        _ => code,
    }
}
