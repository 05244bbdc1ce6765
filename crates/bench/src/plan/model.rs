//! The cells of the sheet, in their order: each is computed from inputs, from what was measured, and from cells above it.

/// A cell.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// As in formulas.
    pub name: &'static str,
    /// Of its value.
    pub unit: &'static str,
    /// How it is computed.
    pub formula: &'static str,
}

/// Cells about one thing.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// The thing.
    pub title: &'static str,
    /// Its cells.
    pub cells: &'static [Cell],
}

const fn cell(name: &'static str, unit: &'static str, formula: &'static str) -> Cell {
    Cell { name, unit, formula }
}

/// The cells whose sensitivity is told.
pub const RESULTS: &[&str] = &["nodes", "gateway_nodes", "dispatcher_nodes", "database_nodes", "bus_nodes"];

/// All cells.
pub const SECTIONS: &[Section] = &[
    Section {
        title: "Load at peak",
        cells: &[
            cell("mean_messages_per_s", "/s", "messages_per_day / 86_400"),
            cell("messages_per_s", "/s", "mean_messages_per_s * peak_factor"),
            cell("direct_per_s", "/s", "messages_per_s * (1 - group_share)"),
            cell("groups_per_s", "/s", "messages_per_s * group_share"),
            cell("direct_deliveries", "devices", "2 * devices_per_user - 1"),
            cell("group_deliveries", "devices", "group_members * devices_per_user - 1"),
            cell("deliveries_per_s", "/s", "direct_per_s * direct_deliveries + groups_per_s * group_deliveries"),
            cell("received_per_s", "/s", "deliveries_per_s / deliveries_per_receipt"),
            cell("read_per_s", "/s", "received_per_s * read_share"),
            cell("connections", "", "daily_users * devices_per_user * concurrency"),
            cell("connects_per_s", "/s", "daily_users * devices_per_user * connects_per_device / 86_400 * peak_factor"),
            cell("pushes_per_s", "/s", "deliveries_per_s * push_share"),
        ],
    },
    Section {
        title: "Engine operations at peak",
        cells: &[
            cell("bus_appends_per_s", "/s", "messages_per_s + received_per_s + read_per_s"),
            cell(
                "database_writes_per_s",
                "/s",
                "direct_per_s * direct_writes + groups_per_s * (group_writes + group_members) + received_per_s * \
                 received_writes + read_per_s * read_writes + connects_per_s * connect_writes",
            ),
            cell(
                "database_reads_per_s",
                "/s",
                "direct_per_s * direct_reads + groups_per_s * group_reads + received_per_s * received_reads + \
                 read_per_s * read_reads + connects_per_s * connect_reads",
            ),
            cell(
                "cache_lookups_per_s",
                "/s",
                "direct_per_s * 2 + groups_per_s * group_members + received_per_s + read_per_s",
            ),
        ],
    },
    Section {
        title: "CPU of the servers at peak",
        cells: &[
            cell(
                "message_cores",
                "cores",
                "(messages_per_s * cpu_us_message + (deliveries_per_s - messages_per_s) * cpu_us_delivery) / 1_000_000",
            ),
            cell("read_cores", "cores", "read_per_s * cpu_us_read / 1_000_000"),
            cell(
                "connection_cores",
                "cores",
                "(connects_per_s * cpu_us_connect + connections * cpu_us_idle) / 1_000_000",
            ),
            cell("server_cores", "cores", "message_cores + read_cores + connection_cores"),
            cell("messages_per_core_s", "/s", "messages_per_s / server_cores"),
        ],
    },
    Section {
        title: "Servers",
        cells: &[
            cell("spare", "", "regions / (regions - regions_lost)"),
            cell("server_memory_gib", "GiB", "(memory_mib_empty + connections * memory_kib / 1_024) / 1_024"),
            cell(
                "connections_of_memory",
                "a node",
                "(node_gib * memory_use_max * 1_048_576 - memory_mib_empty * 1_024) / (memory_kib + socket_kib)",
            ),
            cell("connections_per_node", "a node", "min(connections_of_memory, node_connections_max)"),
            cell(
                "gateway_gbit_per_s",
                "Gbit/s",
                "(deliveries_per_s * payload_bytes + (deliveries_per_s + messages_per_s + received_per_s + read_per_s) * \
                 frame_bytes) * 8 / 1_000_000_000",
            ),
            cell("gateway_cores", "cores", "(message_cores + read_cores) * gateway_cpu_share + connection_cores"),
            cell(
                "gateway_nodes",
                "nodes",
                "ceil(spare * max(connections / connections_per_node, gateway_cores / (node_cores * cpu_use_max), \
                 gateway_gbit_per_s / (node_gbit_per_s * network_use_max)))",
            ),
            cell("node_connections", "a node", "connections * spare / gateway_nodes"),
            cell("dispatcher_cores", "cores", "(message_cores + read_cores) * (1 - gateway_cpu_share)"),
            cell("dispatcher_nodes", "nodes", "ceil(spare * dispatcher_cores / (node_cores * cpu_use_max))"),
        ],
    },
    Section {
        title: "Bus",
        cells: &[
            cell("bus_replicated_per_s", "/s", "bus_appends_per_s * bus_replicas"),
            cell(
                "bus_tib",
                "TiB",
                "(mean_messages_per_s * payload_bytes + bus_appends_per_s / peak_factor * record_bytes) * bus_hours * 3_600 * \
                 bus_replicas / 1_099_511_627_776",
            ),
            cell(
                "bus_nodes",
                "nodes",
                "ceil(max(spare * bus_replicated_per_s / bus_node_records_per_s, bus_tib / (bus_node_tib * disk_use_max)))",
            ),
        ],
    },
    Section {
        title: "Databases",
        cells: &[
            cell("database_copies", "copies", "database_replicas * database_regions"),
            cell(
                "database_ops_per_s",
                "/s",
                "database_writes_per_s * database_copies + database_reads_per_s * database_quorum",
            ),
            cell(
                "database_tib",
                "TiB",
                "messages_per_day * message_days * (disk_bytes + payload_bytes - 200) * database_copies / 1_099_511_627_776",
            ),
            cell(
                "database_nodes",
                "nodes",
                "ceil(max(spare * database_ops_per_s / database_node_ops_per_s, database_tib / (database_node_tib * \
                 disk_use_max)))",
            ),
            cell("node_messages", "a node", "messages_per_day * message_days * database_copies / database_nodes"),
            cell(
                "regions_gbit_per_s",
                "Gbit/s",
                "messages_per_s * (disk_bytes + payload_bytes - 200) * (database_regions - 1) * 8 / 1_000_000_000",
            ),
        ],
    },
    Section {
        title: "Cache, media, all",
        cells: &[
            cell("cache_gib", "GiB", "daily_users * cache_entry_bytes / 1_073_741_824"),
            cell("cache_nodes", "nodes", "ceil(spare * cache_gib / (node_gib * memory_use_max))"),
            cell(
                "media_pib",
                "PiB",
                "messages_per_day * media_share * media_bytes * media_days * media_copies / 1_125_899_906_842_624",
            ),
            cell("media_in_gbit_per_s", "Gbit/s", "messages_per_s * media_share * media_bytes * 8 / 1_000_000_000"),
            cell("media_out_gbit_per_s", "Gbit/s", "deliveries_per_s * media_share * media_bytes * 8 / 1_000_000_000"),
            cell("nodes", "nodes", "gateway_nodes + dispatcher_nodes + bus_nodes + database_nodes + cache_nodes"),
        ],
    },
];
