//! Who used a credential, and whether several shared it.

use std::collections::BTreeSet;

use deed_record::Account;

use super::{CredentialFacts, HolderFacts, LinkFacts, Rank, Role, State};

impl State {
    /// Those who used a credential of their own accord, in order: as logs tell, and only where none does, as senders say.
    ///
    /// Of those who acted through one another, as one chain of one act says, only the first is there: they shared
    /// nothing. One account may be there for each system that tells of it.
    pub fn users<'f>(&self, credential: &'f CredentialFacts) -> Vec<&'f HolderFacts> {
        let used = || credential.holders.iter().filter(|held| held.role == Role::Used);
        let is_logged = used().any(|held| held.rank > Rank::Told);
        let used: Vec<&HolderFacts> = used().filter(|held| !is_logged || held.rank > Rank::Told).collect();
        let is_apart = |(at, held): &(usize, &&HolderFacts)| {
            let links = self.links_of(held.account);
            !used[..*at].iter().any(|other| {
                let one = |link: &LinkFacts| link.from == other.account || link.to == other.account;
                other.account != held.account && (other.record == held.record || links.iter().any(one))
            })
        };
        used.iter().enumerate().filter(is_apart).map(|(_, held)| *held).collect()
    }

    /// Whether somebody else used that credential than the principal of whom `own` are the accounts.
    pub fn is_shared(&self, credential: &CredentialFacts, own: &BTreeSet<Account>) -> bool {
        let users: BTreeSet<Account> = self.users(credential).iter().map(|held| held.account).collect();
        credential.more_holders || users.len() > 1 && !users.is_subset(own)
    }
}
