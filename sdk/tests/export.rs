//! What `export!` says of a list that does not fit the plugin. The texts are pinned, for they are what an
//! author reads; `TRYBUILD=overwrite cargo test -p sluicegate-sdk --test export` writes them anew after a
//! change.

#[test]
fn a_list_that_does_not_fit_the_plugin_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/listed_but_not_implemented.rs");
    cases.compile_fail("tests/ui/implemented_but_not_listed.rs");
    cases.compile_fail("tests/ui/unknown_hook.rs");
    cases.compile_fail("tests/ui/no_hooks.rs");
}
