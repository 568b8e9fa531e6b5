//! The program in `README.md` is the example, which is compiled with the tests.

use std::fs;

#[test]
fn the_program_in_the_readme_is_the_example() {
    let read = |file: &str| {
        let path = [env!("CARGO_MANIFEST_DIR"), "/", file].concat();
        fs::read_to_string(path).unwrap()
    };
    let (readme, example) = (read("README.md"), read("examples/players.rs"));
    let (_, code) = readme.split_once("```rust\n").unwrap();
    let (code, _) = code.split_once("```").unwrap();
    let (about, program) = example.split_once("\n\n").unwrap();
    assert!(about.lines().all(|line| line.starts_with("//!")));
    assert_eq!(code, program, "README.md and examples/players.rs differ");
    assert!(program.lines().count() < 30, "the program has 30 lines or more");
}

#[test]
fn the_readme_has_the_test_command() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let block = concat!(
        "\n<!-- tests -->\n```sh\n",
        "cargo test --workspace --features parlor/portable",
        "\n```\n<!-- /tests -->\n"
    );
    assert!(fs::read_to_string(path).unwrap().contains(block));
}
