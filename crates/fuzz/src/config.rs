//! The configuration file.

use hudhud_server::Config;

/// A file is refused with a line and a reason, or means the same after it was written down.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match Config::parse(text, "fuzz.toml") {
        Ok(config) => {
            let written = toml::to_string(&config).expect("a configuration is TOML");
            assert_eq!(Config::parse(&written, "fuzz.toml").expect("it was just written"), config);
            // The check of a JWT issuer reads the file that it names, and that is no business of a fuzzer.
            if config.jwt_issuers.is_empty()
                && let Err(error) = config.check()
            {
                assert!(!error.to_string().is_empty());
            }
        }
        Err(error) => assert!(error.to_string().starts_with("fuzz.toml:"), "{error}"),
    }
}
