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
            return self.waiting.resize(self.waiting.len() + array.len(), 0);
        }
        match array.data_type() {
            DataType::Utf8View => {
                array.as_string_view().iter().for_each(|value| self.add_some(value, Self::add_text))
            }
            DataType::Int64 => {
                let values = array.as_primitive::<Int64Type>();
                values.iter().for_each(|value| self.add_some(value, Self::add_number));
            }
            DataType::Timestamp(..) => {
                let values = array.as_primitive::<TimestampMicrosecondType>();
                values.iter().for_each(|value| self.add_some(value, Self::add_number));
            }
            _ => (0..array.len()).for_each(|row| self.add_row(array, row)),
        }
    }

    /// The same of one value, of any type.
    fn add_row(&mut self, array: &ArrayRef, row: usize) {
        if array.is_null(row) {
            self.waiting.push(0);
            return;
        }
        self.waiting.push(1);
        match array.data_type() {
            DataType::Utf8View => self.add_text(array.as_string_view().value(row)),
            DataType::Utf8 => self.add_text(array.as_string::<i32>().value(row)),
            DataType::Int64 => self.add_number(array.as_primitive::<Int64Type>().value(row)),
            DataType::Timestamp(..) => {
                self.add_number(array.as_primitive::<TimestampMicrosecondType>().value(row));
            }
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                let (from, to) =
                    (lists.value_offsets()[row] as usize, lists.value_offsets()[row + 1] as usize);
                self.waiting.extend(((to - from) as u64).to_le_bytes());
                (from..to).for_each(|item| self.add_row(lists.values(), item));
            }
            DataType::Struct(_) => {
                array.as_struct().columns().iter().for_each(|member| self.add_row(member, row));
            }
            other => unreachable!("no column of `records` is a {other}"),
        }
        self.hash_piece();
    }

    fn add_some<T>(&mut self, value: Option<T>, add: impl FnOnce(&mut Self, T)) {
        self.waiting.push(u8::from(value.is_some()));
        if let Some(value) = value {
            add(self, value);
        }
        self.hash_piece();
    }

    fn add_number(&mut self, value: i64) {
        self.waiting.extend(value.to_le_bytes());
    }

    fn add_text(&mut self, value: &str) {
        self.waiting.extend((value.len() as u64).to_le_bytes());
        self.waiting.extend(value.as_bytes());
    }

    fn hash_piece(&mut self) {
        if self.waiting.len() >= Self::PIECE {
            self.hash();
        }
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
