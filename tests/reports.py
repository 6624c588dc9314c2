"""What long work has reported, and whether every part of it was reported to its end."""

from itertools import groupby


class Reports:
    """Records reports; takes the place of `no_report`."""

    def __init__(self) -> None:
        self.all: list[tuple[str, int, int]] = []

    def __call__(self, doing: str, done: int, total: int) -> None:
        self.all.append((doing, done, total))

    @property
    def parts(self) -> list[str]:
        """What was being done, in turn. Each part must grow to its total."""
        found = []
        for doing, reports in groupby(self.all, key=lambda report: report[0]):
            steps = [(done, total) for _, done, total in reports]
            assert [done for done, _ in steps] == sorted(done for done, _ in steps), doing
            assert {total for _, total in steps} == {steps[-1][0]}, (doing, steps[-1])
            found.append(doing)
        return found
