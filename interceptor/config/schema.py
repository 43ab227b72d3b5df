"""Every key of the configuration file, with its meaning, unit, bounds and default.

The docstrings are the reference page (docs/reference/config.md is generated from them). A default is safe
where there is one; where none is safe the key is required. Values are frozen. Parts of the node get single
values from here as arguments, never this object.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, BaseModel, Field

from interceptor.config.address import Address
from interceptor.config.atna_table import AtnaTable
from interceptor.config.cds_table import CdsTable
from interceptor.config.database_table import DatabaseTable
from interceptor.config.observe import LogTable, SyntheticTable, TracingTable
from interceptor.config.review import ReviewTable
from interceptor.config.tls import DestinationTlsTable, ListenerTlsTable
from interceptor.config.value import HttpAddress, ListenAddress, Name, Network, PeerAddress, Probe, Table
from interceptor.config.webhook_table import WebhookTable

REVIEW_HEARTBEAT_SECONDS = 60.0
"""The limit where there are review pages: six signs of life missed."""
RouteMode = Literal["shadow", "annotate", "enforce"]
Custody = Literal["relay", "store"]


def _systems(value: Mapping[str, str]) -> Mapping[str, str]:
    for authority, system in value.items():
        if not authority.strip() or not system.strip():
            raise ValueError("maps an assigning authority to an identifier system; neither may be empty")
    return value


class NodeTable(Table):
    """This node and the clinical content that it decides by."""

    data_directory: Path
    """Folder of the journal and the control socket, made with mode 0700 when absent. On a local disk: never a network filesystem. A relative path starts at the configuration file's folder."""
    name: Name = "interceptor"
    """Name of this node in logs and in the audit trail."""
    site: Annotated[str, Field(min_length=1)] = "example"
    """Site profile: the file sites/NAME.toml of the mappings folder. The shipped `example` knows no local procedure code, so codes of your own are read by name only and never held."""
    policy: Annotated[str, Field(min_length=1)] = "spine-oncology"
    """Policy: the file policies/NAME.toml of the mappings folder."""
    profile: Annotated[str, Field(min_length=1)] = "default"
    """Profile of the policy, `default` or `strict` in the one that ships."""
    mappings: Path | None = None
    """Folder with policies, codes, texts and sites. Without it, the folder that ships with the program. A relative path starts at the configuration file's folder."""
    control_socket: Path | None = None
    """Unix socket that `interceptor held`, `interceptor mode` and the review page speak to. Without it, control/control.sock in the data directory. Its folder is made private (0700). The system allows about 100 characters."""
    watchdog_seconds: Annotated[float, Field(ge=0, le=300)] = 10.0
    """The supervisor ends and restarts a node whose event loop is silent for so long; from one second on it says so. 0 lets it hang."""
    bypass_gap_seconds: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    """Placers can reach the filler around this node (a load balancer that fails open): when the node was away for longer than this, what it had queued is set aside as dead letters for a person, because a cancel may have overtaken it. 0 says that there is no bypass. See docs/explanation/health.md."""
    drain_seconds: Annotated[float, Field(ge=0, le=300)] = 20.0
    """How long messages that are being handled may take to finish after the node was asked to stop."""
    inbound_bytes_max: Annotated[int, Field(ge=16 * 1024 * 1024, le=64 * 1024 * 1024 * 1024)] = 256 * 1024 * 1024
    """Bytes of inbound messages that may be in memory at one time, of all connections together. Above it those that hold much are not read until it falls; nothing is dropped."""


class MetricsTable(Table):
    """Where Prometheus and health probes ask. Nothing of a patient is served here."""

    listen: ListenAddress = Address("127.0.0.1", 9464)
    """Address of /metrics, /livez and /readyz. Port 0 takes a free one."""


class TolerancesTable(Table):
    """Departures from MLLP framing that one listener accepts. Each is counted; switch one off to close the connection instead."""

    missing_final_cr: bool = True
    """End block without the carriage return after it: the next start block, LF or 500 ms of silence ends the frame."""
    bytes_between_frames: bool = True
    """Bytes between frames are skipped up to the next start block, at most 64 KiB."""
    start_inside_frame: bool = True
    """A start block inside an open frame ends that frame as truncated: it is kept in quarantine and never acknowledged positively."""
    empty_frame: bool = True
    """Frames without content are skipped."""
    doubled_envelope: bool = True
    """A second start or end block around the content is dropped."""
    bare_lf_segments: bool = True
    """Segments that end with LF instead of CR are read. Bytes stay as they are."""
    crlf_segments: bool = True
    """Segments that end with CR LF are read. Bytes stay as they are."""
    utf8_bom: bool = True
    """A byte order mark before MSH is accepted. Bytes stay as they are."""


class RouteTable(Table):
    """One listener for a placer's orders, and where they go."""

    listen: ListenAddress
    """Address that the placer connects to. Port 0 takes a free one."""
    destination: Name
    """Name of the [destination.NAME] that the filler listens at."""
    mode: RouteMode = "shadow"
    """What decisions may do: `shadow` records them and passes every byte, `annotate` adds notes and never holds, `enforce` holds too. A mode set with `interceptor mode` outlives restarts and wins over this key."""
    custody: Custody = "relay"
    """Who answers the placer: `relay` gives back the filler's own acknowledgment and stores only what is held; `store` journals every message, acknowledges it and delivers it in order."""
    on_filler_down: Literal["wait", "nak"] = "wait"
    """What the placer of a relay sees while the filler is away: `wait` nothing until its own timeout, as without us; `nak` an AE with the reason."""
    strict_inbound: bool = False
    """Answer AR to content that is not HL7, instead of passing it to the filler unchanged."""
    mllp_commit_ack: bool = False
    """The placer speaks MLLP Release 2: before the HL7 acknowledgment it gets a commit block, ACK (0x06) when the message is stored or the filler has answered, NAK (0x15) when it was not taken."""
    hold_reply: Literal["ack", "orr"] = "ack"
    """The application acknowledgment of an order message in our custody: a plain ACK, or the order response (ORR^O02, ORI^O24, ORG^O20) that some placers wait for. Both accept the order."""
    placer_release: bool = False
    """RL of the placer releases an order that we hold, without a reviewer. Off, RL is answered and the order stays held."""
    health_probe: Probe = ""
    """Content of a frame with which a load balancer asks on this port, e.g. `"PING"`: answered `INTERCEPTOR UP` or `INTERCEPTOR DRAINING` by the loop that carries the orders, never sent to the filler. Empty answers none. See docs/explanation/health.md."""
    connections_max: Annotated[int, Field(ge=1, le=10_000)] = 200
    """Connections at one time; further ones are closed at once."""
    connections_per_address_max: Annotated[int, Field(ge=1, le=10_000)] = 50
    """Connections at one time from one address."""
    pipelined_max: Annotated[int, Field(ge=1, le=1000)] = 16
    """Messages of one connection that may wait for their answer before we stop reading from it."""
    frame_size_max: Annotated[int, Field(ge=1024, le=256 * 1024 * 1024)] = 16 * 1024 * 1024
    """Largest message in bytes. A larger one gets AR where its control id was seen, and the connection closes."""
    idle_timeout_seconds: Annotated[float, Field(ge=0, le=7 * 86_400)] = 0.0
    """Close a connection that sends nothing for so long; 0 never does (placers keep connections open over night)."""
    read_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Longest time from a message's first byte to its last."""
    write_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """Longest time that the placer may take to read an answer."""
    decision_budget_seconds: Annotated[float, Field(gt=0, le=30)] = 1.0
    """Longest time to decide one message, lookups included; after it the message passes and an alarm counts it."""
    lookup_budget_seconds: Annotated[float, Field(ge=0, le=30)] = 0.8
    """Longest time to ask the evidence sources about one patient; less than the decision's."""
    holds_max_per_10_min: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Breaker: more holds within ten minutes turn the route to `annotate` and raise an alarm."""
    allowed_addresses: tuple[Network, ...] = ()
    """Addresses or networks that may connect; empty allows every address. Set it for every listener that other machines can reach."""
    tls: ListenerTlsTable | None = None
    """[route.NAME.tls]  Without it orders come in plain text."""
    tolerances: TolerancesTable = TolerancesTable()
    """[route.NAME.tolerances]  Departures from MLLP framing that are accepted."""


class DestinationTable(Table):
    """One listener that we send to: a filler, or the placer's listener for notices."""

    address: PeerAddress
    """host:port of its MLLP listener."""
    connections_max: Annotated[int, Field(ge=1, le=100)] = 1
    """Connections at one time. More than one lets messages of different placer connections overtake each other."""
    connect_timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 5.0
    """How long to wait for a connection."""
    ack_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """How long to wait for an acknowledgment; after it the connection is dropped and the message counts as unanswered."""
    tcp_user_timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 10.0
    """How long sent bytes may stay unconfirmed by the other machine before the connection counts as dead."""
    reconnect_seconds_max: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Longest pause between two attempts to connect or to send."""
    attempts_max: Annotated[int, Field(ge=1, le=1000)] = 10
    """Refusals (AE, AR) or lost connections over one queued message before it becomes a dead letter and a person is told. A filler that cannot be reached does not count."""
    tls: DestinationTlsTable | None = None
    """[destination.NAME.tls]  Without it messages leave in plain text."""


class HoldTable(Table):
    """How long an order may wait for a person. The business calendar and the time zone stand in the site profile."""

    deadline_business_hours: Annotated[float, Field(gt=0, le=24)] = 4.0
    """Business hours after which a held order is released unreviewed, with a note that says so."""
    deadline_hours_max: Annotated[float, Field(gt=0, le=72)] = 24.0
    """Hours after which it is released whatever the calendar says."""
    set_window_seconds: Annotated[float, Field(ge=0, le=300)] = 15.0
    """How long an order that would be held waits for its siblings to complete the set; 0 does not wait."""
    planned_start_margin_hours: Annotated[float, Field(ge=0, le=72)] = 4.0
    """A held order leaves at the latest so long before the planned start of the study."""
    decide_again_hours_max: Annotated[float, Field(ge=0, le=720)] = 72.0
    """An order that went on only because its patient's diagnoses could not be looked up is kept so long and decided again when they can; those that would have been held are listed by `interceptor held list --retrospective`. 0 keeps none."""
    review_heartbeat_seconds: Annotated[float, Field(ge=0, le=3600)] | None = None
    """After so long without a sign of life from whoever reviews (the review process gives one every ten seconds while there is anybody who may decide, and so does `interceptor held watch`) nothing new is held: it is forwarded annotated. 0 asks for none. Without it: 60 with a [review] table; 0 without one, for then the command line of the node's host is the desk."""


class RegistryTable(Table):
    """What is known of patients by their identifiers, from feeds and imports, in the journal's file. See docs/explanation/evidence.md."""

    enabled: bool = False
    """Ask the registry about an order's patient. A [feed.NAME] switches it on too; set it where there are imports only."""
    assigning_authority: str = ""
    """Authority of identifiers that state none, in orders and feeds. Without it such identifiers are not looked up: a number alone may be anybody's."""
    authorities: Mapping[str, str] = Field(default_factory=dict)
    """Other spellings of an assigning authority (OID, FHIR system, older namespace) to the one that is used, e.g. `{ "1.2.3" = "HOSP" }`."""


class FeedTable(Table):
    """One listener for messages that tell of patients: ADT, PPR and ORU. See docs/how-to/feed-diagnoses.md."""

    listen: ListenAddress
    """Address that the sender connects to. Port 0 takes a free one."""
    destination: Name | None = None
    """Name of a [destination.NAME]: every message goes on to it unchanged and is read on the way; its receiver acknowledges. Without it we acknowledge each message once the journal has what it says."""
    assigning_authority: str = ""
    """Authority of this feed's identifiers that state none; without it that of [registry]."""
    snapshot: bool = True
    """The DG1 list of a visit and the AL1 list of a patient replace the earlier ones (HL7's snapshot mode). Switch it off for a feed that sends what is new only."""
    stale_after_hours: Annotated[float, Field(ge=0, le=720)] = 24.0
    """After so long without a message from this feed what the registry knows counts as stale; 0 never does."""
    connections_max: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Connections at one time; further ones are closed at once."""
    connections_per_address_max: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Connections at one time from one address."""
    pipelined_max: Annotated[int, Field(ge=1, le=1000)] = 16
    """Messages of one connection that may wait for their answer before we stop reading from it."""
    frame_size_max: Annotated[int, Field(ge=1024, le=256 * 1024 * 1024)] = 16 * 1024 * 1024
    """Largest message in bytes. A larger one gets AR where its control id was seen, and the connection closes."""
    idle_timeout_seconds: Annotated[float, Field(ge=0, le=7 * 86_400)] = 0.0
    """Close a connection that sends nothing for so long; 0 never does."""
    read_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Longest time from a message's first byte to its last."""
    write_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """Longest time that the sender may take to read an answer."""
    allowed_addresses: tuple[Network, ...] = ()
    """Addresses or networks that may connect; empty allows every address. Set it for every listener that other machines can reach: who may send here decides what is known of patients."""
    tls: ListenerTlsTable | None = None
    """[feed.NAME.tls]  Without it messages come in plain text."""
    tolerances: TolerancesTable = TolerancesTable()
    """[feed.NAME.tolerances]  Departures from MLLP framing that are accepted."""


class FhirTable(Table):
    """One FHIR R4 server that is asked for a patient's diagnoses, allergies and kidney values when the policy needs them. See docs/how-to/connect-fhir.md."""

    base_url: HttpAddress
    """The service's base, e.g. "https://fhir.example.org/r4". http is taken for this machine only."""
    systems: Annotated[Mapping[str, str], Field(min_length=1), AfterValidator(_systems)]
    """Assigning authority (PID-3.4, namespace or universal id) to the identifier system of the server, e.g. `{ "HOSP" = "urn:oid:1.2.3" }`. Identifiers of other authorities are not asked for."""
    bearer_token_file: Path | None = None
    """File with a fixed bearer token."""
    bearer_token_env: str | None = None
    """Environment variable with a fixed bearer token."""
    client_id: str | None = None
    """SMART backend services: our client id. With it, `token_url` and a private key."""
    token_url: HttpAddress | None = None
    """SMART backend services: the token endpoint."""
    private_key_file: Path | None = None
    """SMART backend services: private key as PEM or JWK, RSA of 2048 bits or more (RS384) or P-384 (ES384)."""
    private_key_env: str | None = None
    """Environment variable with the private key."""
    key_id: str = ""
    """SMART backend services: `kid` of the public key as the server knows it."""
    scope: str = "system/Patient.rs system/Condition.rs system/AllergyIntolerance.rs system/Observation.rs"
    """SMART backend services: scopes to ask for. Servers of SMART 1 want ".read" in place of ".rs"."""
    ca_file: Path | None = None
    """Certificate authorities that may have signed the server's certificate; without it those of the system."""
    certificate_file: Path | None = None
    """Mutual TLS: our certificate, PEM."""
    key_file: Path | None = None
    """Mutual TLS: the certificate's key, PEM without passphrase."""
    condition_categories: tuple[str, ...] = ("problem-list-item", "encounter-diagnosis")
    """Kinds of Condition that count."""
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    """Longest time for all searches of one patient. An order waits for lookup_budget_seconds only; later answers are there for the next order."""
    connect_timeout_seconds: Annotated[float, Field(gt=0, le=30)] = 3.0
    """How long to wait for a connection."""
    patients_max: Annotated[int, Field(ge=1, le=100)] = 8
    """Patients asked for at one time; up to 200 more wait for their turn."""
    search_method: Literal["post", "get"] = "post"
    """How searches are sent. With `get` the patient's number is in the address, which servers and proxies log; for servers that take nothing else."""
    page_size: Annotated[int, Field(ge=1, le=1000)] = 100
    """Entries of one page that are asked for."""
    pages_max: Annotated[int, Field(ge=1, le=100)] = 10
    """Pages read of one search; more count as a failed lookup."""
    answer_size_max: Annotated[int, Field(ge=16_384, le=64 * 1024 * 1024)] = 2 * 1024 * 1024
    """Largest answer in bytes, after decompression."""
    fresh_seconds: Annotated[float, Field(ge=0, le=86_400)] = 300.0
    """So long an answer counts as new."""
    revalidate_seconds: Annotated[float, Field(ge=0, le=86_400)] = 900.0
    """So long an answer is used at once while a new one is fetched behind it."""
    stale_seconds: Annotated[float, Field(ge=0, le=7 * 86_400)] = 86_400.0
    """So long an answer is used, as stale, when no new one comes in time."""
    negative_seconds: Annotated[float, Field(ge=0, le=3600)] = 60.0
    """So long a patient whom the server does not know, or whose record contradicts the order, is not asked for again."""
    breaker_failures: Annotated[int, Field(ge=1, le=1000)] = 5
    """Failures in a row after which the server is left alone."""
    breaker_pause_seconds: Annotated[float, Field(gt=0, le=600)] = 5.0
    """First pause; it doubles with each failed try."""
    breaker_pause_seconds_max: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """Longest pause."""


class NoticesTable(Table):
    """Messages to the placer about held orders (OH, OE, OC, CR ...)."""

    destination: Name | None = None
    """Name of the [destination.NAME] for notices; without it none are sent. Never a route's own destination: notices are for the placer, not for the filler."""
    style: Literal["native", "status"] = "native"
    """How a hold and its release are said: `native` as OH and OE, `status` as SC with the same order status (ORC-5), for placers that take nothing else. Answers to what the placer asked for (CR, HR, OR, UR, RQ) are the same in both."""


class Config(Table):
    """The whole file. Attributes are named as the tables are."""

    node: NodeTable
    """[node]"""
    route: Annotated[Mapping[Name, RouteTable], Field(min_length=1)]
    """[route.NAME]"""
    destination: Annotated[Mapping[Name, DestinationTable], Field(min_length=1)]
    """[destination.NAME]"""
    metrics: MetricsTable = MetricsTable()
    """[metrics]"""
    hold: HoldTable = HoldTable()
    """[hold]"""
    notices: NoticesTable = NoticesTable()
    """[notices]"""
    fhir: Mapping[Name, FhirTable] = Field(default_factory=dict)
    """[fhir.NAME]"""
    registry: RegistryTable = RegistryTable()
    """[registry]"""
    feed: Mapping[Name, FeedTable] = Field(default_factory=dict)
    """[feed.NAME]"""
    log: LogTable = LogTable()
    """[log]"""
    synthetic: SyntheticTable = SyntheticTable()
    """[synthetic]"""
    tracing: TracingTable = TracingTable()
    """[tracing]"""
    database: DatabaseTable = DatabaseTable()
    """[database]"""
    cds: Mapping[Name, CdsTable] = Field(default_factory=dict)
    """[cds.NAME]"""
    webhook: Mapping[Name, WebhookTable] = Field(default_factory=dict)
    """[webhook.NAME]"""
    review: ReviewTable | None = None
    """[review]"""

    atna: AtnaTable | None = None
    """[atna]"""

    @property
    def has_registry(self) -> bool:
        """Whether the registry is asked about an order's patient."""
        return self.registry.enabled or bool(self.feed)

    @property
    def review_heartbeat_seconds(self) -> float:
        """How old the last sign of life of whoever reviews may be, seconds; 0 for any age."""
        stated = self.hold.review_heartbeat_seconds
        if stated is not None:
            return stated
        return REVIEW_HEARTBEAT_SECONDS if self.review is not None else 0.0

    @property
    def control_socket(self) -> Path:
        """Path of the control socket, whether or not the file names it."""
        return self.node.control_socket or self.node.data_directory / "control" / "control.sock"


def default_of(table: type[BaseModel], key: str) -> object:
    """The default of one key of one table; raises KeyError for an unknown key."""
    return cast("object", table.model_fields[key].default)
