//! Who is who: what somebody has declared, and what records show.
//!
//! `inventory.toml` lists principals with all the names that systems have for them, resources with how
//! sensitive they are, and sources with what their silence proves. What nobody listed is `unclassified`. An
//! [`Inventory`] is read strictly, with errors that name the line, and is immutable.
//!
//! A [`State`] is folded from sealed records: accounts, credentials and what became of them, grants, who acted for
//! whom. It does not depend on the order of records, and states of two parts of a log can be merged. From it and the
//! inventory follows which accounts are one principal ([`State::principal`]), each join with its basis and evidence.
//!
//! Nothing here reads a clock or touches the log.

mod bounded;
mod file;
mod inventory;
mod joins;
mod newest;
mod pattern;
mod state;
mod strings;
mod window;

pub use inventory::{
    Contract, Coverage, FILE, Inventory, InventoryError, Principal, Resource, Source, UNCLASSIFIED,
    principal_name,
};
pub use joins::{Basis, Declarations, Joined, MOST_ACCOUNTS, Member, Refused, Why};
pub use state::{
    AccountFacts, Address, BadDump, Bounds, ChangeFacts, CredentialFacts, CredentialKey, CredentialView,
    GrantFacts, GrantKey, HolderFacts, InTurns, LinkFacts, PlaceFacts, Rank, Role, SeenBy, SeenFacts, Sizes,
    SourceFacts, Standing, State, TriedFacts, UsedAs, UsedFacts, is_static_type,
};
pub use window::ChangeWindow;
