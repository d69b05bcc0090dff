//! What is started, and with what around it.

use std::{
    collections::BTreeMap,
    env, fmt, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Child;

use crate::secrets::Secrets;

/// What a server hears of Deed's own environment: what programs need, and nothing that may be a secret. The clients of
/// the protocol's own SDKs let as much through.
const INHERITED: [&str; 11] =
    ["HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER", "XDG_CACHE_HOME"];

/// The command of a server that speaks over its standard input and output.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// The program: its path, or a name that is looked for in `PATH`.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where it is started; where Deed was, if `None`.
    pub folder: Option<PathBuf>,
    /// Variables of its environment.
    pub env: BTreeMap<String, String>,
    /// Variables whose values stand in files. They are secrets, and read anew whenever it is started.
    pub env_files: BTreeMap<String, PathBuf>,
}

impl fmt::Debug for Command {
    /// INVARIANT D9: the program alone, for arguments and variables may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").field("program", &self.program).finish_non_exhaustive()
    }
}

impl Command {
    /// Why it cannot be started, as far as that can be seen without starting it.
    pub fn trouble(&self) -> Option<String> {
        self.found().and_then(|_| self.variables().map(|_| ())).err()
    }

    /// Starts it, in a process group of its own. Its secrets are noted first.
    pub(super) fn start(&self, secrets: &Secrets) -> Result<Child, String> {
        let program = self.found()?;
        let mut command = tokio::process::Command::new(program);
        command.args(&self.arguments).env_clear().process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in INHERITED {
            if let Some(value) = env::var_os(name) {
                command.env(name, value);
            }
        }
        for (name, value) in self.variables()? {
            secrets.note(&name, &value, self.env_files.contains_key(&name));
            command.env(name, value);
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command.spawn().map_err(|error| format!("`{}`: {error}", self.program))
    }

    fn variables(&self) -> Result<Vec<(String, String)>, String> {
        let mut variables: Vec<(String, String)> = self.env.clone().into_iter().collect();
        for (name, file) in &self.env_files {
            let wrong = |what: &str| format!("`{}`: {what}", file.display());
            let value = fs::read_to_string(file).map_err(|error| wrong(&error.to_string()))?;
            match value.trim_end_matches(['\n', '\r']) {
                "" => return Err(wrong("expected the value of a variable, found nothing")),
                value if value.contains('\0') => return Err(wrong("a variable holds no byte of zero")),
                value => variables.push((name.clone(), value.to_owned())),
            }
        }
        Ok(variables)
    }

    /// The program's own path.
    fn found(&self) -> Result<PathBuf, String> {
        if let Some(folder) = &self.folder
            && !folder.is_dir()
        {
            return Err(format!("there is no folder `{}`", folder.display()));
        }
        if self.program.contains('/') {
            let path = match &self.folder {
                Some(folder) => folder.join(&self.program),
                None => PathBuf::from(&self.program),
            };
            return match is_program(&path) {
                true => Ok(path),
                false => Err(format!("`{}` is no file that can be executed", self.program)),
            };
        }
        let path = self.env.get("PATH").map(Into::into).or_else(|| env::var_os("PATH")).unwrap_or_default();
        let found =
            env::split_paths(&path).map(|folder| folder.join(&self.program)).find(|path| is_program(path));
        found.ok_or_else(|| format!("`{}` is in no folder of `PATH`", self.program))
    }
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
