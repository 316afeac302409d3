#include "common/daemon/config_names.h"

#include <stddef.h>

const char *const config_names[] = {
        "admin_bind", "admin_port", "admin_token", "admin_token_file", "archive", "archive_after_s", "archive_bytes_s",
        "archive_file", "archive_keep_s", "bind", "cache_bytes", "capacity_percent", "chunk_ms", "classic_s", "cluster_ca",
        "cluster_cert", "cluster_key",
        "cluster_token", "cluster_token_file", "connections_max", "connections_of_one", "data_dir", "decoder_threads", "drain_ms",
        "encoder_threads", "fetch_port", "fill_bytes_s", "finish_ms", "follow_tracks", "frame_ancestors", "gather_ms", "grace_ms",
        "handshakes_of_one_per_s", "handshakes_per_s", "header_deadline_ms", "hold_ms", "http_port", "http_threads", "https_certs",
        "https_port", "https_ticket_secret", "https_ticket_secret_file", "id", "idle_ms", "insecure", "ladder", "latency_bound_ms",
        "leave_ms", "log_format", "log_level",
        "max_connections", "max_publishers", "max_sessions", "max_waits", "media_timeout_ms", "min_free_bytes", "min_rate_bytes_s",
        "misses_of_one_per_s", "misses_per_s", "object_max_bytes", "origins", "peers", "port", "private", "proxy_from",
        "public_url", "publish_jwks", "publish_key", "publish_key_file", "publish_keys", "publish_keys_file", "publish_timeout_ms",
        "publish_webhook", "publish_webhook_cache_s", "publish_webhook_file", "publish_webhook_recheck_s",
        "publish_webhook_timeout_ms", "publishers_of_address", "publishes_of_address_per_s", "quorum", "recent_ms", "recording",
        "redundancy", "replay_bytes", "replay_total_bytes", "replicas", "requests_of_one_per_s", "retention_bytes", "retention_s",
        "rtmp_port", "rtmps_certs", "rtmps_port", "scrub_bytes_s", "shed_after_ms", "sibling_late_ms", "siblings", "site",
        "site_full_percent", "sites", "slate_after_ms", "steering", "steering_ttl_s", "sync", "target_latency_ms",
        "tell_throughput", "tell_viewers", "thumbs_s", "time_shift_s", "track_wait_ms", "transcoders", "update_s", "uplink_mbits",
        "upstream_role", "view_jwks",
        "volume_segments", "web_root", "webhooks", "webhooks_file", "when_full", "zone",
        NULL,
};
