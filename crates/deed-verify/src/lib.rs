//! Static logs in folders, as `deed-verify` and `deed verify` read them.

mod folder;

pub use folder::Folder;
