"""The ways a kill may go, each a sequence of its steps; what the steps do is in `kill`."""

from agent.engine.cause import OPERATOR
from agent.engine.kill import Kill, holds


async def restart(kill: Kill) -> None:
    """An action that ends the instance: drained before, held afterwards."""
    async with kill.looking():
        await kill.prepare()
        while not await kill.attempt():
            why = "" if kill.signed else await kill.wait_to_retry()
            if kill.signed:  # it is another instance already, or nothing is to be done any more
                await kill.end(kill.sign)
                return
            if why or not holds(kill.rule):  # escalated to an action that holds nothing: the check asks for it anew
                await kill.resign(why)
                return
            kill.open()
        await kill.wait_for_instance()


async def ask(kill: Kill) -> None:
    """An action that holds nothing (none): the request stands until somebody came or it is no longer needed.

    An operator's has no check whose success would end it: it must not keep a server that is well out of service for
    ever.
    """
    patience = kill.rule.assumed_after if kill.cause.check == OPERATOR else None
    async with kill.looking():
        await kill.prepare()
        await kill.request()
        sign = await kill.await_sign(patience)
    # A new instance that came before anything was asked for is no success of the asking.
    kill.close("succeeded" if sign is not None and kill.requested else "withdrawn")
    if not kill.signed:  # nobody came
        kill.around.container.withdraw(kill.around.clock())
    await kill.end(sign)


async def tell_only(kill: Kill) -> None:
    """An action that interrupts nothing (notify): counted and told; no drain, no hold, readiness untouched."""
    await kill.gather()
    await kill.hook("pre_restart")
    await kill.act_in_passing()
    await kill.hook("post_restart")
    kill.clear()


async def resumed(kill: Kill) -> None:
    """An earlier process acted and was still waiting for the new instance: so does this one."""
    async with kill.looking(edge_counts=True):
        await kill.wait_for_instance(again=True)
