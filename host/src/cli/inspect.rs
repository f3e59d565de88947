//! `plugin inspect`

use std::path::Path;

use super::Failed;
use crate::plugin::component::{describe, hex};

pub(super) fn run(file: &Path) -> Result<(), Failed> {
    let failed = |error: &dyn std::fmt::Display| Failed::Usage(format!("{}: {error}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| failed(&format!("cannot be read: {error}")))?;
    let description = describe(bytes).map_err(|kind| failed(&kind))?;
    println!("file    {}", file.display());
    println!("size    {} bytes", description.bytes);
    println!("digest  sha256:{}", hex(&description.digest));
    print_list("exports", &description.exports);
    print_list("imports", &description.imports);
    Ok(())
}

fn print_list(title: &str, names: &[String]) {
    println!("{title}");
    for name in names {
        println!("  {name}");
    }
    if names.is_empty() {
        println!("  none");
    }
}
