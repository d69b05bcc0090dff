//! Which findings were sent: a line each, added durably once its receiver had it.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

use deed_record::RecordId;

/// Beside the positions of files that are followed: derived from nothing, and no evidence.
const PATH: &str = "follow/findings-webhook";

/// Findings that were sent, or are not to be: by action and rule.
pub(crate) struct Told {
    file: File,
    known: HashSet<(RecordId, String)>,
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
        let line = |line: &str| {
            let (id, rule) = line.split_once(' ')?;
            Some((id.parse().ok()?, rule.to_owned()))
        };
        Ok(Some(Told { file, known: text[..whole].lines().filter_map(line).collect() }))
    }

    /// Begins with `known`, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn begin(dir: &Path, known: &[(RecordId, String)]) -> io::Result<Self> {
        let path = dir.join(PATH);
        let folder = path.parent().unwrap_or(dir);
        fs::create_dir_all(folder)?;
        let part = path.with_extension("part");
        let mut file = File::create(&part)?;
        file.write_all(lines(known).as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, &path)?;
        File::open(folder)?.sync_all()?;
        let file = File::options().append(true).open(&path)?;
        Ok(Told { file, known: known.iter().cloned().collect() })
    }

    /// Whether it was sent.
    pub(crate) fn has(&self, id: RecordId, rule: &str) -> bool {
        self.known.contains(&(id, rule.to_owned()))
    }

    /// It was sent. Durable when this returns.
    ///
    /// # Errors
    /// The file cannot be written; after a restart it is sent again.
    pub(crate) fn add(&mut self, id: RecordId, rule: &str) -> io::Result<()> {
        let one = (id, rule.to_owned());
        let line = lines(std::slice::from_ref(&one));
        self.known.insert(one);
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()
    }
}

fn lines(all: &[(RecordId, String)]) -> String {
    all.iter().map(|(id, rule)| format!("{id} {rule}\n")).collect()
}
