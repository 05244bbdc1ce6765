//! What is chosen is what counts, and mistakes are named with their place, their value and what would be right.

use super::*;

fn layered(file: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut layers = Layers::default();
    layers.file(file, "hudhud.toml")?;
    layers.environment(variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())))?;
    layers.finish()
}

/// The default file says what the defaults are: as it is, and with every key that is commented out taken in.
#[test]
fn the_default_file_is_the_defaults() {
    let file = default_file();
    assert_eq!(Config::parse(&file, "default.toml").expect("valid"), Config::default());
    let taken_in: String = file
        .lines()
        // Certificates come from one place: the files are left out. So are other processes, which are on another bus.
        .filter(|line| !line.starts_with("## ") && !line.contains("/certificate.pem") && !line.contains("/key.pem"))
        .filter(|line| !line.contains(":8082\"") && !line.starts_with("# secret = "))
        .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line)))
        .collect();
    let mut config = Config::parse(&taken_in, "default.toml").expect("valid");
    config.engines = Engines::default();
    assert!(matches!(config.tls.acme.take(), Some(Acme { directory, .. }) if directory.contains("letsencrypt")));
    config.tls = Tls::default();
    config.jwt_issuers.clear();
    assert_eq!(config, Config::default());
}

/// Mistakes in a file: what is in it, and what is said about it.
#[test]
fn mistakes_in_a_file_are_named() {
    const ISSUER: &str = "issuer = 'i'\naudience = 'a'\nalgorithm = 'EdDSA'\nkey_file = '/k'\n";
    let twice = format!("[[jwt_issuers]]\n{ISSUER}[[jwt_issuers]]\n{ISSUER}");
    for (file, expected) in [
        ("shards = 4\nlisen = '[::1]:80'", "2: there is no key \"lisen\"; \"listen\" is the nearest"),
        ("[log]\n\nfromat = 'json'", "3: there is no key \"fromat\"; \"format\" is the nearest"),
        ("log.fromat = 'json'", "1: there is no key \"fromat\"; \"format\" is the nearest"),
        ("[log]\ncolour = 1", "2: there is no key \"colour\" here; there are format, filter"),
        ("\n[limit]\nconnections_max = 5", "2: there is no key \"limit\"; \"limits\" is the nearest"),
        (
            "[limits]\nping_intervall_ms = 5",
            "2: there is no key \"ping_intervall_ms\"; \"ping_interval_ms\" is the nearest",
        ),
        ("[rates]\nsend = { burst = 1, interval_ms = 1 }", "2: there is no key \"send\"; \"sends\" is the nearest"),
        ("\nshards = 'many'", "2: shards is \"many\"; it must be a whole number from 1 to 4096"),
        ("shards = 0", "1: shards is 0; it must be a whole number from 1 to 4096"),
        ("shards = 4097", "1: shards is 4097; it must be a whole number from 1 to 4096"),
        ("shards = 1.5", "1: shards is 1.5; it must be a whole number from 1 to 4096"),
        ("shards = -1", "1: shards is -1; it must be a whole number from 1 to 4096"),
        ("listen = 8080", "1: listen is 8080; it must be an address with a port, such as"),
        ("listen = 'localhost'", "1: listen is \"localhost\"; it must be an address with a port, such as"),
        ("data = ''", "1: data is \"\"; it must be a path"),
        ("gateway = ''", "1: gateway is \"\"; it must be text of 1 to 64 bytes"),
        ("operators.metrics = 'yes'", "1: operators.metrics is \"yes\"; it must be true or false"),
        (
            "roles = ['apis']",
            "1: roles is [\"apis\"]; it must be a list of some of \"gateway\", \"api\", \"dispatcher\"",
        ),
        ("roles = []", "1: roles is []; it must be a list of some of"),
        ("roles = ['api', 'api']", "1: roles is [\"api\", \"api\"]; it must be a list of some of"),
        ("roles = ['api']", "1: roles leaves some out, and engines.messages is in this process"),
        ("peers.secret = 'hunter2'", "1: peers.secret is not possible; it must be a secret of 32 visible"),
        ("peers.listen = '127.0.0.1:8082'", "1: peers is for other processes"),
        ("[peers]\nsecret = 'hunter2-hunter2-hunter2-hunter2-hunter2'", "2: peers is for other processes"),
        ("engines.bus = 'kafka://hunter2'", "1: engines.messages is in this process, and the bus is not"),
        (
            "allowed_origins = ['chat.example']",
            "1: allowed_origins is [\"chat.example\"]; it must be a list of origins",
        ),
        ("trusted_proxies = ['everybody']", "1: trusted_proxies is [\"everybody\"]; it must be a list of addresses"),
        ("trusted_proxies = '10.0.0.1'", "1: trusted_proxies is \"10.0.0.1\"; it must be a list of addresses"),
        ("engines.messages = 'hunter2'", "1: engines.messages is not possible; it must be the URL of an engine"),
        ("log = 'debug'", "1: log is a section of the keys format, filter"),
        ("log.filter = 'a=b=c'", "1: log.filter is \"a=b=c\"; it must be a filter, such as"),
        ("[registration]\nmode = 'shut'", "2: registration.mode is \"shut\"; it must be one of \"open\", \"invite\""),
        ("[limits]\nconnections_max = 0", "2: limits.connections_max is 0; it must be a whole number from 1 to"),
        ("limits.buffer_bytes_max = 1000", "1: limits.buffer_bytes_max is 1000; it must be a whole number from"),
        (
            "rates.sends = { burst = 0, interval_ms = 1 }",
            "1: rates.sends is { burst = 0, interval_ms = 1 }; it must be {",
        ),
        ("rates.sends = 100", "1: rates.sends is 100; it must be { burst = 1 to 4294967295, interval_ms"),
        ("[[jwt_issuers]]\nissuer = 'i'", "1: jwt_issuers[0] has no audience"),
        ("[[jwt_issuers]]\nalgorithm = 'none'", "2: jwt_issuers[0].algorithm is \"none\"; it must be one of \"HS256\""),
        ("jwt_issuers = 'none'", "1: jwt_issuers is a list of sections of the keys issuer, audience"),
        (&twice, "1: jwt_issuers has \"i\" twice"),
        (
            "limits.connections_max = 10\nlimits.unauthenticated_max = 20",
            "2: limits.unauthenticated_max is 20, more than limits.connections_max, which is 10: lower it, or raise that",
        ),
        (
            "[limits]\nunauthenticated_max = 5\n\nunauthenticated_per_address_max = 6",
            "4: limits.unauthenticated_per_address_max is 6, more than limits.unauthenticated_max, which is 5",
        ),
        ("\n[tls]\nkey_file = 'key.pem'", "3: tls.certificate_file: the key's certificate is missing"),
        ("tls.acme = { domains = [] }", "1: tls.acme.domains is []; it must be a list of names"),
        ("[tls.acme]\ncontact = 'mailto:a@b'", "1: tls.acme has no domains"),
        ("[tls.acme]\n", "1: tls.acme has no domains"),
        ("[tls.acme]\ndomain = ['d']", "2: there is no key \"domain\"; \"domains\" is the nearest"),
        ("[tls.acm]\ndomains = ['d']", "1: there is no key \"acm\"; \"acme\" is the nearest"),
        ("tls = { key_file = 'k', certificate_file = 'c', acme = { domains = ['d'] } }", "1: tls.acme: take it out or"),
        ("shards = 4\nshards = 5", "2: duplicate key"),
        ("shards = ", "1: "),
    ] {
        let error = Config::parse(file, "hudhud.toml").expect_err(file).to_string();
        assert!(error.starts_with(&format!("hudhud.toml:{expected}")), "{file}\n  {error}\n  {expected}");
        assert!(!error.contains('\n') && !error.contains("hunter2"), "{error}");
    }
}

/// Every key can be chosen in the environment, which goes before the file.
#[test]
fn the_environment_goes_before_the_file() {
    let file = "shards = 4\ngateway = 'east'\nlog.format = 'json'";
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("url");
    std::fs::write(&secret, "memory:\n").expect("written");
    let config = layered(
        file,
        &[
            ("HUDHUD_SHARDS", "8"),
            ("HUDHUD_TRUSTED_PROXIES", "10.0.0.1, fd00::/8"),
            ("HUDHUD_ALLOWED_ORIGINS", "['https://chat.example']"),
            ("HUDHUD_LIMITS__CONNECTIONS_MAX", "12"),
            ("HUDHUD_RATES__SENDS", "{ burst = 3, interval_ms = 4 }"),
            ("HUDHUD_OPERATORS__METRICS", "false"),
            ("HUDHUD_ENGINES__BUS_FILE", &secret.display().to_string()),
            ("HUDHUD_JWT_ISSUERS", "[{ issuer = 'i', audience = 'a', algorithm = 'EdDSA', key_file = '/k' }]"),
            // Those of a Kubernetes service of this name, and of the chat program.
            ("HUDHUD_PORT", "tcp://10.0.0.1:80"),
            ("HUDHUD_SERVICE_HOST", "10.0.0.1"),
            ("HUDHUD_SERVER", "http://chat.example"),
        ],
    )
    .expect("valid");
    assert_eq!((config.shards, config.gateway.as_str(), config.log.format), (8, "east", LogFormat::Json));
    assert_eq!(Vec::from(config.trusted_proxies), ["10.0.0.1/32", "fd00::/8"]);
    assert_eq!(config.allowed_origins, ["https://chat.example"]);
    assert_eq!((config.limits.connections_max, config.operators.metrics), (12, false));
    assert_eq!(config.rates.sends, Rate { burst: 3, interval_ms: 4 });
    assert_eq!((config.engines.bus.as_deref(), config.jwt_issuers.len()), (Some("memory:"), 1));
    for section in keys::SECTIONS.iter().filter(|section| !section.many) {
        for key in section.keys {
            let error = layered("", &[(&key.variable(), "")]).map(|_| ()).map_err(|error| error.to_string());
            let is_list = matches!(key.kind, Kind::Networks | Kind::Origins | Kind::Filter | Kind::Names);
            assert!(is_list || error.is_err_and(|error| error.starts_with(&key.variable())), "{}", key.path);
        }
    }
}

/// Mistakes in the environment.
#[test]
fn mistakes_in_the_environment_are_named() {
    for (name, value, expected) in [
        ("HUDHUD_SHARDS", "many", "shards is \"many\"; it must be a whole number from 1 to 4096"),
        ("HUDHUD_SHARD", "4", "there is no such variable; HUDHUD_SHARDS is the nearest"),
        ("HUDHUD_LOG_FORMAT", "json", "there is no such variable; HUDHUD_LOG__FORMAT is the nearest"),
        (
            "HUDHUD_LIMITS__CONNECTION_MAX",
            "4",
            "there is no such variable; HUDHUD_LIMITS__CONNECTIONS_MAX is the nearest",
        ),
        ("HUDHUD_LOG", "debug", "log is a section of the keys format, filter"),
        ("HUDHUD_RATES__SENDS", "100", "rates.sends is 100; it must be { burst"),
        ("HUDHUD_ENGINES__MESSAGES", "hunter2", "engines.messages is not possible"),
        ("HUDHUD_ENGINES__MESSAGES_FILE", "/no/such/file", "/no/such/file: "),
        ("HUDHUD_QUITE__OTHER", "1", "there is no such variable"),
    ] {
        let error = layered("", &[(name, value)]).expect_err(name).to_string();
        assert!(error.starts_with(&format!("{name}: {expected}")), "{error}");
    }
    let error = layered("limits.connections_max = 10", &[("HUDHUD_LIMITS__UNAUTHENTICATED_MAX", "20")]);
    let error = error.expect_err("a contradiction").to_string();
    assert!(error.starts_with("HUDHUD_LIMITS__UNAUTHENTICATED_MAX: limits.unauthenticated_max is 20"), "{error}");
}

/// The page in the documentation is what the program prints. `HUDHUD_RECORD_CONFIGURATION=1` writes it.
#[test]
fn the_page_is_what_the_program_says() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    if std::env::var_os("HUDHUD_RECORD_CONFIGURATION").is_some() {
        std::fs::write(file, page()).expect("written");
    }
    let written = std::fs::read_to_string(file).expect("it is there");
    assert!(written == page(), "docs/configuration.md is not what `hudhud config doc` prints: `make configuration`");
}
