//! Test plugins and components that no test uses are no tests.

use std::fs;
use std::path::Path;

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_test_plugin_and_component_is_used() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = fs::read_dir(tests.join("integration")).unwrap();
    let sources: String = sources.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    for (folder, least) in [("plugins", 8), ("components", 5)] {
        let names = names(&tests.join(folder));
        assert!(names.len() >= least, "{folder} has only {names:?}");
        for name in names {
            assert!(sources.contains(&format!("\"{name}\"")), "no test uses {folder}/{name}");
        }
    }
}
