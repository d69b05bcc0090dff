//! `deed schema`: what a record may hold.

use crate::{exit::Outcome, output::Output};

pub(crate) fn run(output: Output) -> Outcome {
    output.print(deed_record::schema::SUBMISSION.trim_end())?;
    output.print("\n")
}
