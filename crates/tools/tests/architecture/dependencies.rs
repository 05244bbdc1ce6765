//! Arrows go down only: proto ← ports ← engines; roles on ports; server on roles and engines; client on proto alone.

use crate::none_of;
use serde_json::Value;
use std::process::Command;

/// What a package of ours may depend on among our own.
struct Rule {
    package: &'static str,
    /// In what it ships.
    on: &'static [&'static str],
    /// In its tests besides.
    in_tests: &'static [&'static str],
}

const fn rule(package: &'static str, on: &'static [&'static str], in_tests: &'static [&'static str]) -> Rule {
    Rule { package, on, in_tests }
}

const ALL: &[&str] = &[
    "hudhud-proto",
    "hudhud-ports",
    "hudhud-engines",
    "hudhud-roles",
    "hudhud-server",
    "hudhud-client",
    "hudhud-chat",
    // For its checker.
    "hudhud-sim",
];

/// The whole layout. Servers and clients meet in the simulator and in end-to-end tests, nowhere else.
const LAYOUT: &[Rule] = &[
    rule("hudhud-proto", &[], &[]),
    rule("hudhud-ports", &["hudhud-proto"], &[]),
    rule("hudhud-engines", &["hudhud-proto", "hudhud-ports"], &[]),
    rule("hudhud-roles", &["hudhud-proto", "hudhud-ports"], &[]),
    rule("hudhud-server", &["hudhud-proto", "hudhud-ports", "hudhud-engines", "hudhud-roles"], &[]),
    rule("hudhud-client", &["hudhud-proto"], &[]),
    rule("hudhud-chat", &["hudhud-proto", "hudhud-client"], &[]),
    rule("hudhud-sim", &["hudhud-proto", "hudhud-ports", "hudhud-roles", "hudhud-client"], &[]),
    rule("hudhud-bench", &["hudhud-proto"], &[]),
    rule("hudhud-e2e", ALL, &["hudhud-fuzz"]),
    rule("hudhud-fuzz", ALL, &[]),
    rule("hudhud-tools", &[], &[]),
];

/// Who alone may know a product.
const OWNERS: &[(&[&str], &[&str])] = &[
    (&["fjall", "moka", "redis", "fred", "scylla", "rdkafka", "object_store"], &["hudhud-engines"]),
    (&["axum", "hyper", "hyper-util", "tower", "tower-http"], &["hudhud-server"]),
    (
        &["tokio-tungstenite", "tungstenite", "reqwest"],
        &["hudhud-client", "hudhud-server", "hudhud-e2e", "hudhud-bench"],
    ),
    (&["rusqlite"], &["hudhud-client", "hudhud-chat"]),
    (&["ratatui", "crossterm"], &["hudhud-chat"]),
    (&["argon2"], &["hudhud-roles"]),
    (&["jsonwebtoken"], &["hudhud-roles", "hudhud-bench"]),
    (&["anyhow"], &["hudhud-server", "hudhud-chat", "hudhud-sim", "hudhud-e2e", "hudhud-bench", "hudhud-tools"]),
];

/// Who may turn tokio's sockets on.
const TOKIO_NET: &[&str] = &["hudhud-server", "hudhud-client", "hudhud-e2e", "hudhud-bench"];

struct Dependency {
    package: String,
    on: String,
    in_tests: bool,
    features: Vec<String>,
}

fn metadata() -> (Vec<String>, Vec<Dependency>) {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(hudhud_tools::workspace::root())
        .output()
        .expect("cargo runs, it runs this test");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata answers in JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages = list(&metadata["packages"]);
    let names = packages.iter().map(|package| text(&package["name"])).collect();
    let dependencies = packages.iter().flat_map(|package| {
        list(&package["dependencies"]).into_iter().map(|dependency| Dependency {
            package: text(&package["name"]),
            on: text(&dependency["name"]),
            in_tests: text(&dependency["kind"]) == "dev",
            features: list(&dependency["features"]).iter().map(text).collect(),
        })
    });
    (names, dependencies.collect())
}

#[test]
fn every_package_has_its_place() {
    let (names, _) = metadata();
    let known = |name: &String| LAYOUT.iter().any(|rule| rule.package == name);
    none_of(
        names.into_iter().filter(|name| !known(name)).collect(),
        "A package exists only for a different set of dependencies, another target or another owner of I/O. Is an existing \
         folder the place? If not: a decision record in docs/adr, a row in LAYOUT here and one in ARCHITECTURE.md.",
    );
}

#[test]
fn our_packages_know_only_what_is_below_them() {
    let (names, dependencies) = metadata();
    let forbidden = |dependency: &&Dependency| {
        let rule = LAYOUT.iter().find(|rule| rule.package == dependency.package);
        let allowed = rule.is_some_and(|rule| {
            let on = dependency.on.as_str();
            rule.on.contains(&on) || dependency.in_tests && (rule.in_tests.contains(&on) || on == rule.package)
        });
        names.contains(&dependency.on) && !allowed
    };
    none_of(
        dependencies.iter().filter(forbidden).map(|d| format!("{} → {}", d.package, d.on)).collect(),
        "Arrows go down only (ARCHITECTURE.md, Packages). Move what both need down into `proto` or `ports`, or hand it in as \
         a trait from above.",
    );
}

#[test]
fn a_product_has_one_owner() {
    let (_, dependencies) = metadata();
    let forbidden = |dependency: &&Dependency| {
        let owners = OWNERS.iter().find(|(products, _)| products.contains(&dependency.on.as_str()));
        !dependency.in_tests && owners.is_some_and(|(_, owners)| !owners.contains(&dependency.package.as_str()))
    };
    none_of(
        dependencies.iter().filter(forbidden).map(|d| format!("{} → {}", d.package, d.on)).collect(),
        "Products sit behind ports and transports: only the package named in OWNERS may know this one. Use the port, or widen \
         it (two engines and one conformance case make a method).",
    );
}

#[test]
fn only_the_server_and_the_clients_transport_have_tokios_sockets() {
    let (_, dependencies) = metadata();
    let forbidden = |dependency: &&Dependency| {
        let sockets = dependency.features.iter().any(|feature| feature == "net" || feature == "full");
        dependency.on == "tokio" && sockets && !dependency.in_tests && !TOKIO_NET.contains(&dependency.package.as_str())
    };
    none_of(
        dependencies.iter().filter(forbidden).map(|d| format!("{} → tokio {:?}", d.package, d.features)).collect(),
        "Take `net` and `full` out of tokio's features: sockets are in `server::listen` and `client::native`.",
    );
}
