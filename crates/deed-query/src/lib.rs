//! SQL over the ledger: Parquet derived from packs, the tables, DataFusion
