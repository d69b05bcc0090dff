//! Commands that are suggested: pasted as they stand they work, and on the store that was just asked.

use std::{
    env,
    path::{Path, PathBuf},
};

use deed_review::render::{Style, in_tenant};

use crate::{
    cli::Global,
    output::{Output, shell_word},
};

/// How this program is called from here, and what leads it to a store.
#[derive(Clone, Debug)]
pub(crate) struct Hint {
    program: String,
    place: String,
}

impl Hint {
    /// Suggestions for the store that the command line names; what stands in the environment stays there.
    pub(crate) fn of(global: &Global) -> Self {
        match (&global.data, &global.server) {
            (Some(dir), _) => Hint::of_store(dir),
            (None, Some(url)) => Hint::of_server(url),
            (None, None) => Hint { program: program(), place: String::new() },
        }
    }

    /// Suggestions for the store in `dir`.
    pub(crate) fn of_store(dir: &Path) -> Self {
        Hint { program: program(), place: format!(" --data {}", shell_word(&dir.display().to_string())) }
    }

    /// Suggestions for the server at `url`.
    pub(crate) fn of_server(url: &str) -> Self {
        Hint { program: program(), place: format!(" --server {}", shell_word(url)) }
    }

    /// `deed ARGUMENTS`, on that store. For a name out of a record there is [`Hint::about`].
    pub(crate) fn deed(&self, arguments: &str) -> String {
        format!("{} {arguments}{}", self.program, self.place)
    }

    /// `deed COMMAND NAME`, on that store, of what `tenant` calls so. Whatever `name` is, to the shell it is one word.
    pub(crate) fn about(&self, tenant: &str, command: &str, name: &str) -> String {
        self.deed(&format!("{command} {}{}", shell_word(name), in_tenant(tenant)))
    }

    /// `deed ARGUMENTS`, which name what they are about themselves.
    pub(crate) fn anywhere(&self, arguments: &str) -> String {
        format!("{} {arguments}", self.program)
    }

    /// How to make a store where there is none.
    pub(crate) fn begin(&self) -> String {
        format!(
            "make one by recording something: {}, {}, or {}",
            self.deed("import auto PATH"),
            self.deed("append FILE"),
            self.deed("serve")
        )
    }

    /// How `deed_review::render` is to write.
    pub(crate) fn style(&self, output: Output, verbose: bool) -> Style<'_> {
        Style { verbose, program: &self.program, place: &self.place, ..output.style() }
    }
}

/// How this program is called from here: `deed` where the shell finds it by that name.
pub(crate) fn program() -> String {
    let Ok(own) = env::current_exe() else { return "deed".to_owned() };
    let on_path =
        env::var_os("PATH").into_iter().flat_map(|path| env::split_paths(&path).collect::<Vec<PathBuf>>());
    let mut found = on_path.map(|dir| dir.join("deed")).filter(|path| path.is_file());
    if found.next().and_then(|path| path.canonicalize().ok()) == own.canonicalize().ok() {
        return "deed".to_owned();
    }
    let here = env::current_dir().ok();
    let near = here.and_then(|here| own.strip_prefix(here).ok().map(Path::to_owned));
    // A bare name would be looked for on the path.
    let near = near.map(|near| if near.components().count() == 1 { Path::new(".").join(near) } else { near });
    shell_word(&near.unwrap_or(own).display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_harmless_word_of_a_command() {
        let hint = Hint { program: "deed".into(), place: " --data store".into() };
        assert_eq!(hint.about("default", "principal", "svc:etl"), "deed principal svc:etl --data store");
        assert_eq!(
            hint.about("acme", "principal", "svc:$(touch me);id"),
            "deed principal 'svc:$(touch me);id' --tenant acme --data store"
        );
    }
}
