//! What one record takes on disk, part by part.

use std::{fs, path::Path};

use crate::{Outcome, figure};

/// Leaves in packs are measured: what is not packed yet is in the journal, which is used again.
pub(crate) fn run(store: &Path, count: u64) -> Outcome {
    let packed = (count / deed_ledger::PACK_LEAVES * deed_ledger::PACK_LEAVES) as f64;
    if packed == 0.0 {
        figure("bytes a record", "not measured", "fewer records than one pack");
        return Ok(());
    }
    let each = |folder: &str| -> std::io::Result<f64> { Ok(bytes(&store.join(folder))? as f64 / packed) };
    let (packs, index, parquet, disclosures) =
        (each("packs")?, each("index")?, each("parquet")?, each("disclosures")?);
    // A pack holds 32 bytes of level-0 tile and an eighth of a byte of level 1 for each leaf.
    let tiles = 32.0 + 32.0 / 256.0;
    let all = packs + index + parquet;
    figure("bytes a record, disclosures apart", format!("{all:.0}"), "at most 400");
    figure("  entry bundles", format!("{:.1}", packs - tiles), "the sealed bytes, compressed");
    figure("  tiles", format!("{tiles:.1}"), "the hashes that prove them");
    figure("  Parquet", format!("{parquet:.1}"), "rows for SQL");
    figure("  index", format!("{index:.1}"), "look-ups");
    figure("disclosures", format!("{disclosures:.1}"), "payloads, encrypted");
    Ok(())
}

fn bytes(path: &Path) -> std::io::Result<u64> {
    if !path.exists() {
        return Ok(0);
    }
    let mut sum = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        sum += if entry.file_type()?.is_dir() { bytes(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(sum)
}
