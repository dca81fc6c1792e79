"""The watch as a callback of Lightning, of Hugging Face's Trainer, and of Keras 3; none of them is imported here."""

from importlib import import_module
from inspect import signature
from typing import Any

from nucleate._wording import listed, shown
from nucleate.errors import SpecError
from nucleate.inspection.watching import LOG, watch


def CondensationMonitor(inputs: Any = None, **settings: Any) -> Any:
    """A Lightning callback that watches the module which is trained; its metrics go to the trainer's logger.

    It is in Lightning's checkpoints, so that a resumed training goes on with the same record.

    Parameters
    ----------
    inputs : tensor or dict, optional
        A fixed batch, as of `nucleate.watch`.
    **settings
        The other arguments of `nucleate.watch`.

    Returns
    -------
    lightning.pytorch.Callback
        Its ``watch`` is the `Watch`, from the start of training on.

    Raises
    ------
    SpecError
        If Lightning is not installed.

    Examples
    --------
    >>> trainer = lightning.Trainer(callbacks=[CondensationMonitor(x[:256])])  # doctest: +SKIP
    """
    _check(settings)
    base = _host("Lightning", "lightning", "lightning.pytorch", "pytorch_lightning").Callback

    class Monitor(base):  # type: ignore[misc, valid-type]
        watch: Any = None
        _state: Any = None
        _logged = -1

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self.watch, self._logged = watch(pl_module, inputs, **settings), -1
            if self._state is not None:
                self.watch.load_state_dict(self._state)
            self._log(trainer, self.watch.metrics())

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            # Batches whose gradients are accumulated take no step.
            if trainer.global_step > self.watch.steps:
                loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
                self._log(trainer, self.watch.step(loss))

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            self._log(trainer, self.watch.record())

        def _log(self, trainer: Any, metrics: dict[str, float]) -> None:
            if self._logged != trainer.global_step and metrics:
                self._logged = trainer.global_step
                for logger in trainer.loggers:
                    logger.log_metrics(metrics, step=self._logged)

        def state_dict(self) -> dict[str, Any]:
            return self.watch.state_dict() if self.watch is not None else {}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self._state = state_dict or None

    return Monitor()


def CondensationCallback(inputs: Any = None, **settings: Any) -> Any:
    """A callback of Hugging Face's Trainer that watches the model which is trained.

    Given the trainer by ``of``, it logs its metrics at every record to all that the Trainer reports to: TensorBoard,
    W&B, MLflow. A callback is not told of its trainer otherwise, and then the record is in its ``watch`` alone.

    Parameters
    ----------
    inputs : tensor or dict, optional
        A fixed batch, as of `nucleate.watch`.
    **settings
        The other arguments of `nucleate.watch`.

    Returns
    -------
    transformers.TrainerCallback
        Its ``watch`` is the `Watch`, from the start of training on.

    Raises
    ------
    SpecError
        If transformers is not installed.

    Examples
    --------
    >>> trainer = Trainer(model, arguments, train_dataset=rows)  # doctest: +SKIP
    >>> trainer.add_callback(CondensationCallback(batch).of(trainer))  # doctest: +SKIP
    """
    _check(settings)
    module = _host("transformers", "transformers", "transformers")
    printers = module.PrinterCallback, module.trainer_callback.ProgressCallback

    class Callback(module.TrainerCallback, module.trainer_callback.ExportableState):  # type: ignore[misc, name-defined]
        watch: Any = None
        _state: Any = None
        _trainer: Any = None
        _only: Any = None
        _reported = -1

        def __new__(cls) -> Any:
            # The Trainer makes callbacks anew when it resumes; this one stays the one that its user holds.
            if cls._only is None:
                cls._only = super().__new__(cls)
            return cls._only

        def of(self, trainer: Any) -> Any:
            """The same callback, which logs through this trainer at every record."""
            self._trainer = trainer
            return self

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **rest: Any) -> None:
            self.watch, self._reported = watch(model, inputs, **settings), -1
            if self._state is not None:
                self.watch.load_state_dict(self._state)
            if self._trainer is None:
                LOG.warning(
                    "This CondensationCallback logs no metrics, as it knows no trainer; add it by "
                    "trainer.add_callback(CondensationCallback(inputs).of(trainer))."
                )
            self._report(self.watch.metrics())

        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            self._report(self.watch.step())
            self._report_last(state, control)

        def on_epoch_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            self._report_last(state, control)

        def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            self.watch.record()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
            # The mean over the steps since the last log, as the Trainer tells no other.
            if self.watch is not None and "loss" in (logs or {}):
                self.watch.note_loss(logs["loss"])

        def _report_last(self, state: Any, control: Any) -> None:
            # At the end of training it would be too late: MLflow's run has ended there, and a new one would begin.
            if control.should_training_stop or state.global_step >= state.max_steps:
                self._report(self.watch.record())

        def _report(self, metrics: dict[str, float]) -> None:
            if metrics and self._trainer is not None and self._reported != self.watch.steps:
                self._reported = self.watch.steps
                # Loggers are told, and not those that print: the metrics of all layers would fill the screen.
                handler = self._trainer.callback_handler
                everyone = handler.callbacks
                handler.callbacks = [one for one in everyone if not isinstance(one, printers)]
                try:
                    self._trainer.log(dict(metrics))
                finally:
                    handler.callbacks = everyone

        def state(self) -> dict[str, Any]:
            """What the Trainer keeps in its checkpoints: without the weights of the start, for it is JSON."""
            kept = {} if self.watch is None else self.watch.state_dict() | {"start": {}}
            return {"args": {}, "attributes": {"_state": kept or None}}

    return Callback()


def keras_callback(inputs: Any = None, **settings: Any) -> Any:
    """A callback of Keras 3 that watches the model which is trained; its metrics are in the logs of each epoch.

    Parameters
    ----------
    inputs : array or dict, optional
        A fixed batch, as of `nucleate.watch`.
    **settings
        The other arguments of `nucleate.watch`.

    Returns
    -------
    keras.callbacks.Callback
        Its ``watch`` is the `Watch`, from the start of training on.

    Raises
    ------
    SpecError
        If Keras is not installed.

    Examples
    --------
    >>> model.fit(x, y, callbacks=[keras_callback()])  # doctest: +SKIP
    """
    _check(settings)
    base = _host("Keras", "keras", "keras").callbacks.Callback

    class Callback(base):  # type: ignore[misc, valid-type]
        watch: Any = None

        def on_train_begin(self, logs: Any = None) -> None:
            self.watch = watch(self.model, inputs, **settings)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if self.watch.is_due:
                # Under JAX the weights of the step are in the model once it is asked for.
                _ = self.model
            self.watch.step((logs or {}).get("loss"))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if logs is not None:
                logs.update(self.watch.metrics())

        def on_train_end(self, logs: Any = None) -> None:
            self.watch.record()

    return Callback()


def _host(what: str, package: str, *modules: str) -> Any:
    for module in modules:
        try:
            return import_module(module)
        except ImportError:
            continue
    raise SpecError(f"{what} is not installed; install it by: pip install {package}.")


def _check(settings: dict[str, Any]) -> None:
    """Refuse at once what `watch` would not take once training begins."""
    known = [name for name in signature(watch).parameters if name not in ("model", "inputs")]
    for name in settings:
        if name not in known:
            raise SpecError(f"There is no setting {shown(name)} of a watch; choose one of {listed(known)}.")
