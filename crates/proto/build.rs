//! Compiles the `.proto` files: protox reads them (no `protoc` is needed), buffa generates the types.

use prost::Message;

const FILES: [&str; 3] = ["hudhud/v1/protocol.proto", "hudhud/v1/log.proto", "hudhud/v1/peers.proto"];

fn main() {
    println!("cargo:rerun-if-changed=proto");
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let descriptors = out.join("descriptors.bin");
    let set = protox::compile(FILES, ["proto"]).unwrap_or_else(|error| panic!("{error:?}"));
    std::fs::write(&descriptors, set.encode_to_vec()).expect("OUT_DIR is writable");
    buffa_build::Config::new()
        .descriptor_set(&descriptors)
        .files(&FILES)
        .includes(&["proto"])
        .generate_views(false)
        .generate_json(true)
        .preserve_unknown_fields(false)
        .use_bytes_type()
        .unbox_oneof()
        .include_file("hudhud.rs")
        .compile()
        .unwrap_or_else(|error| panic!("{error}"));
}
