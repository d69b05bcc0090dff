//! What was asked for.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use deed_seal::checkpoint::Checkpoint;
use deed_seal::note::VerifierKey;
use deed_seal::verify::Kept;

/// How to call the program.
pub(crate) const USAGE: &str = "\
usage: deed-verify DIR [--vkey FILE]... [--since CHECKPOINT]... [--json]
";

const HELP: &str = "\
Checks a static log (C2SP tlog-tiles) without trusting anyone: every leaf is hashed from its entry,
every tile recomputed, the root compared with the checkpoint, signatures verified.

usage: deed-verify DIR [--vkey FILE]... [--since CHECKPOINT]... [--json]

  DIR                 folder with `checkpoint` and `tile/`
  --vkey FILE         public keys that you got elsewhere, a vkey (name+id+base64) a line, or one
                      vkey; without them the answer is about self-consistency only
  --since CHECKPOINT  a checkpoint that you kept: the log must continue it
  --json              the answer as one JSON document
  --help, --version

exit code  0 verified   4 violated: something is wrong   5 unverified: something is missing
           1 failed     2 wrong usage
";

/// What the program is to do.
pub(crate) enum Request {
    /// Verify a folder.
    Verify(Arguments),
    /// Say something about itself.
    Print(String),
}

/// What to verify, and against what.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) folder: PathBuf,
    pub(crate) json: bool,
    vkeys: Vec<OsString>,
    checkpoints: Vec<PathBuf>,
}

/// Reads the command line, without the program's name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let (mut parsed, mut folder) = (Arguments::default(), None);
    let mut arguments = arguments.into_iter();
    let mut only_operands = false;
    while let Some(argument) = arguments.next() {
        let (option, attached) = split_option(&argument);
        let mut value =
            || attached.clone().or_else(|| arguments.next()).ok_or(format!("{option} needs a value"));
        match option.as_str() {
            _ if only_operands || !option.starts_with('-') => {
                if folder.replace(PathBuf::from(&argument)).is_some() {
                    return Err(format!("one folder at a time, `{}` is too many", argument.display()));
                }
            }
            "--" => only_operands = true,
            "--vkey" => parsed.vkeys.push(value()?),
            "--since" => parsed.checkpoints.push(value()?.into()),
            "--json" if attached.is_none() => parsed.json = true,
            "-h" | "--help" => return Ok(Request::Print(HELP.to_owned())),
            "-V" | "--version" => {
                return Ok(Request::Print(format!("deed-verify {}\n", env!("CARGO_PKG_VERSION"))));
            }
            _ => return Err(format!("unknown option `{}`", argument.display())),
        }
    }
    parsed.folder = folder.ok_or("which folder is to be verified?")?;
    Ok(Request::Verify(parsed))
}

impl Arguments {
    /// The keys of all `--vkey`.
    pub(crate) fn keys(&self) -> Result<Vec<VerifierKey>, String> {
        let mut keys = Vec::new();
        for argument in &self.vkeys {
            if let Some(Ok(key)) = argument.to_str().map(str::parse) {
                keys.push(key);
                continue;
            }
            let shown = argument.display();
            let text =
                fs::read_to_string(argument).map_err(|error| format!("cannot read `{shown}`: {error}"))?;
            let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
            let before = keys.len();
            for (number, line) in lines {
                let key = line.parse().map_err(|error| format!("`{shown}`, line {}: {error}", number + 1))?;
                keys.push(key);
            }
            if keys.len() == before {
                return Err(format!("`{shown}` holds no key"));
            }
        }
        Ok(keys)
    }

    /// The checkpoints of all `--since`, each of which is one.
    pub(crate) fn since(&self) -> Result<Vec<Kept>, String> {
        self.checkpoints.iter().map(|path| read_checkpoint(path)).collect()
    }
}

fn read_checkpoint(path: &Path) -> Result<Kept, String> {
    let name = path.display().to_string();
    let note = fs::read(path).map_err(|error| format!("cannot read `{name}`: {error}"))?;
    match Checkpoint::open_unverified(&note) {
        Ok(_) => Ok(Kept { name, note }),
        Err(error) => Err(format!("`{name}`: {error}")),
    }
}

/// `--name=value` as its two parts, anything else as it is.
fn split_option(argument: &OsStr) -> (String, Option<OsString>) {
    let text = argument.to_string_lossy();
    match (text.starts_with("--"), argument.to_str().and_then(|text| text.split_once('='))) {
        (true, Some((option, value))) => (option.to_owned(), Some(value.into())),
        _ => (text.into_owned(), None),
    }
}
