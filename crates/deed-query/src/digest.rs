//! A digest of what rows say, whatever bytes they are kept in.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Int64Type, TimestampMicrosecondType},
};
use deed_ledger::{PACK_LEAVES, store::Store};
use deed_seal::hash::Hash;
use parquet::errors::ParquetError;
use sha2::{Digest, Sha256};

use crate::{
    columns::{COLUMNS, SCHEMA_VERSION},
    files::{self, StoredFile},
    manifest::Manifest,
};

/// SHA-256 over the rows of the leaves before `end`, column by column within each pack, in hex. Equal for
/// equal rows, however they were encoded, compressed and cut into files (D5).
///
/// # Errors
/// A file cannot be read, or a pack before `end` is in none.
pub(crate) fn digest(store: &Arc<dyn Store>, manifest: &Manifest, end: u64) -> Result<String, ParquetError> {
    let mut all = Sha256::new();
    all.update(SCHEMA_VERSION.to_le_bytes());
    let mut next = 0;
    for file in manifest.files.iter().filter(|file| file.first_leaf < end) {
        let stored = StoredFile::new(store.clone(), &file.path, file.bytes);
        let metadata = files::typed(Arc::new(files::read_metadata(&stored)?))?;
        for (at, pack) in
            (file.first_pack..=file.last_pack).enumerate().filter(|(_, pack)| pack * PACK_LEAVES < end)
        {
            if pack * PACK_LEAVES != next {
                break;
            }
            let mut columns = vec![Values::default(); COLUMNS.len()];
            for batch in files::read_group(&stored, &metadata, at)? {
                let batch =
                    batch.map_err(|error| ParquetError::General(format!("`{}`: {error}", file.path)))?;
                columns.iter_mut().zip(batch.columns()).for_each(|(column, array)| column.add(array));
            }
            all.update(pack.to_le_bytes());
            columns.into_iter().for_each(|column| all.update(column.digest()));
            next += PACK_LEAVES;
        }
    }
    if next != end {
        return Err(ParquetError::General(format!("leaf {next} is in no Parquet file")));
    }
    Ok(Hash(all.finalize().into()).to_string())
}

/// Values on their way into a digest, which is fast with large pieces only.
#[derive(Clone, Default)]
struct Values {
    digest: Sha256,
    waiting: Vec<u8>,
}

impl Values {
    /// Bytes that are hashed at once.
    const PIECE: usize = 16 << 10;

    /// Adds each value: 0 for none, else 1 and the value, texts and lists after their length.
    fn add(&mut self, array: &ArrayRef) {
        if array.null_count() == array.len() {
            self.waiting.resize(self.waiting.len() + array.len(), 0);
        } else {
            for row in 0..array.len() {
                self.add_row(array, row);
                if self.waiting.len() >= Self::PIECE {
                    self.hash();
                }
            }
        }
    }

    fn add_row(&mut self, array: &ArrayRef, row: usize) {
        if array.is_null(row) {
            self.waiting.push(0);
            return;
        }
        self.waiting.push(1);
        match array.data_type() {
            DataType::Utf8View => self.add_text(array.as_string_view().value(row)),
            DataType::Utf8 => self.add_text(array.as_string::<i32>().value(row)),
            DataType::Int64 => {
                self.waiting.extend(array.as_primitive::<Int64Type>().value(row).to_le_bytes());
            }
            DataType::Timestamp(..) => {
                self.waiting
                    .extend(array.as_primitive::<TimestampMicrosecondType>().value(row).to_le_bytes());
            }
            DataType::List(_) => {
                let items = array.as_list::<i32>().value(row);
                self.waiting.extend((items.len() as u64).to_le_bytes());
                self.add(&items);
            }
            DataType::Struct(_) => {
                array.as_struct().columns().iter().for_each(|member| self.add(&member.slice(row, 1)));
            }
            other => unreachable!("no column of `records` is a {other}"),
        }
    }

    fn add_text(&mut self, value: &str) {
        self.waiting.extend((value.len() as u64).to_le_bytes());
        self.waiting.extend(value.as_bytes());
    }

    fn hash(&mut self) {
        self.digest.update(&self.waiting);
        self.waiting.clear();
    }

    fn digest(mut self) -> [u8; 32] {
        self.hash();
        self.digest.finalize().into()
    }
}
