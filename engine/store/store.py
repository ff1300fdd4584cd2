"""All that is kept, a repository a resource."""

from engine.store.analyze_tasks import AnalyzeTasks
from engine.store.assets import Assets
from engine.store.embed_tasks import EmbedTasks
from engine.store.entities import Collections, Entities
from engine.store.indexed import IndexedMedia
from engine.store.indexes import Indexes
from engine.store.library import Library
from engine.store.records import Records
from engine.store.searches import Searches
from engine.store.streams import VideoStreams
from engine.store.tasks import Tasks
from engine.store.uploads import Uploads


class Store:
    """The repositories over one library, and the library itself: its files, its opening and closing."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.assets = Assets(library)
        self.indexes = Indexes(library)
        self.indexed = IndexedMedia(library)
        self.tasks = Tasks(library)
        self.streams = VideoStreams(library)
        self.records = Records(library)
        self.searches = Searches(library)
        self.uploads = Uploads(library)
        self.analyze_tasks = AnalyzeTasks(library)
        self.embed_tasks = EmbedTasks(library)
        self.collections = Collections(library)
        self.entities = Entities(library)
