"""Losses made of others, each of which takes its own path."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fastloss._core import options as _options
from fastloss._core.record import Composition, P, PublicLoss, publish


def loss(**facts: Any) -> Callable[[Callable[P, Any]], PublicLoss[P]]:
    """Makes a loss of a function that calls others; ``facts`` are attributes of its `Composition`."""

    def complete(written: Callable[P, Any]) -> PublicLoss[P]:
        record = Composition(written.__name__, pose=written, **facts)
        parameters = inspect.signature(written).parameters
        places = [(k, name, parameters[name].default) for k, name in enumerate(parameters) if name in record.words]
        made = _options.takes_tensors(written)

        def check(args: Any, kwargs: Any) -> None:
            given = {name: args[k] if k < len(args) else kwargs.get(name, default) for k, name, default in places}
            record.check_words(record.name, **given)

        def function(*args: P.args, **kwargs: P.kwargs) -> Any:
            check(args, kwargs)
            return made(*args, **kwargs)

        def reference(*args: P.args, **kwargs: P.kwargs) -> Any:
            check(args, kwargs)
            return record.formula(*args, **kwargs)

        return publish(record, function, reference, written.__doc__ or "")

    return complete
