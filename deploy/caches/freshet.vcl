# Varnish (6 to 7) as a cache for viewers, in front of edges or of an origin's HTTP port: varnishd -a :8000 -f freshet.vcl -s malloc,4g
# Change the lines marked (*).
#
# One request upstream for each object, however many viewers ask, and all of them get a segment piece by piece while it is being made. What Freshet
# says of how long each may be kept is obeyed: media for ever, manifests and lists for a second, the time not at all. Errors are kept for half a
# second.
vcl 4.1;

backend default {
        .host = "127.0.0.1";                    # (*)
        .port = "8080";                         # (*)
        .connect_timeout = 1s;
        .first_byte_timeout = 15s;              # longer than a request is held (hold_ms)
        .between_bytes_timeout = 15s;
}

sub vcl_recv {
        if (req.method != "GET" && req.method != "HEAD") {
                return (pass);                  # OPTIONS: browsers ask once in two hours
        }
        # Another answer for each who asks; and what a viewer's own token opens is nobody else's.
        if (req.url ~ "^/steering" || req.http.Authorization || req.http.Cookie ~ "freshet_token=") {
                return (pass);
        }
        # A track without an end, and a recording as one file, or a track of it, of which seconds (?from=&to=) and ranges are asked for.
        if (req.url ~ "^[^?]*/(tail|recording\.[^/?]+|ondemand\.[^/?]*mp4)(\?|$)") {
                return (pass);
        }
        # Players put their statistics into the query (CMCD), which is no part of the name. But of a playlist of HLS each version that a player may ask
        # for is an object.
        if (req.url ~ "^[^?]*\.m3u8\?") {
                set req.url = regsuball(req.url, "([?&])(?!_HLS_)[^&]*", "\1");
                set req.url = regsub(regsub(regsuball(req.url, "&+", "&"), "\?&", "?"), "[?&]$", "");
        } else {
                set req.url = regsub(req.url, "\?.*$", "");
        }
        unset req.http.Cookie;
        return (hash);
}

sub vcl_hash {
        hash_data(req.url);                     # whatever the host is called
        return (lookup);
}

sub vcl_backend_response {
        set beresp.do_stream = true;
        # A manifest that has just become too old is handed out once more while one request fetches the next: not much longer, or players would
        # hear late that a broadcast has ended.
        set beresp.grace = 2s;
        set beresp.keep = 0s;
        if (beresp.status >= 400) {
                set beresp.ttl = 0.5s;          # all who waited get it; were it not kept at all, they would ask one after another
                set beresp.grace = 0s;
        } elsif (beresp.http.Cache-Control ~ "no-store|private") {
                set beresp.ttl = 120s;          # for so long it is known that nobody has to wait for it
                set beresp.uncacheable = true;
        } elsif (beresp.ttl < 0.5s) {
                set beresp.ttl = 0.5s;          # what an edge hands out while it asks for the next is a second old: it is not asked again at once for that
        }
        return (deliver);
}

sub vcl_deliver {
        # What an edge says of its connection to here, and of how long it held a request, is not true of the viewer's.
        unset resp.http.CMSD-Dynamic;
        unset resp.http.CMSD-Static;
        set resp.http.X-Cache-Status = obj.hits;
}
