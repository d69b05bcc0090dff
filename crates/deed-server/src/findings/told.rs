//! Which findings were sent: a line each, added durably once its receiver had it.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

/// Beside the positions of files that are followed: derived from nothing, and no evidence.
const PATH: &str = "follow/findings-webhook";

/// Findings that were sent, or are not to be, by what each is called: action and rule, or rule and digest.
pub(crate) struct Told {
    file: File,
    known: HashSet<String>,
}

impl Told {
    /// What was kept in `dir`; `None` where nothing was ever sent from it. A line that a crash cut short is of a
    /// finding that is sent again.
    ///
    /// # Errors
    /// The file cannot be read or mended.
    pub(crate) fn open(dir: &Path) -> io::Result<Option<Self>> {
        let path = dir.join(PATH);
        let mut file = match File::options().read(true).append(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64)?;
        Ok(Some(Told { file, known: text[..whole].lines().map(str::to_owned).collect() }))
    }

    /// Begins with `known`, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn begin(dir: &Path, known: Vec<String>) -> io::Result<Self> {
        let path = dir.join(PATH);
        let folder = path.parent().unwrap_or(dir);
        fs::create_dir_all(folder)?;
        let part = path.with_extension("part");
        let mut file = File::create(&part)?;
        let lines: String = known.iter().map(|name| line(name)).collect();
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, &path)?;
        File::open(folder)?.sync_all()?;
        let file = File::options().append(true).open(&path)?;
        Ok(Told { file, known: known.into_iter().collect() })
    }

    /// Whether it was sent.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.known.contains(name)
    }

    /// It was sent. Durable when this returns.
    ///
    /// # Errors
    /// The file cannot be written; after a restart it is sent again.
    pub(crate) fn add(&mut self, name: &str) -> io::Result<()> {
        self.known.insert(name.to_owned());
        self.file.write_all(line(name).as_bytes())?;
        self.file.sync_data()
    }
}

fn line(name: &str) -> String {
    format!("{name}\n")
}
