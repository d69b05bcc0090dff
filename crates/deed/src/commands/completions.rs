//! `deed completions`: the shell's part of the command line.

use clap::CommandFactory;

use crate::{
    cli::{Cli, Completions},
    exit::Outcome,
    output::Output,
};

pub(crate) fn run(completions: &Completions, output: Output) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Cli::command(), "deed", &mut script);
    output.bytes(&script)
}
