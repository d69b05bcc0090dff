//! The only writer: journal, sequencer, packs, disclosures, look-up index
