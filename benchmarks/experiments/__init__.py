"""``make experiments``: what the four systems claim, measured arm against arm on the sample shop.

    __main__    the command line                     claims     a row's stated directions and their verdicts
    scale       how large everything is              rows/      the rows of papers.md, section 6
    arms        an arm: a recipe with changes        evidence   what rows read
    arm_list    all of them                          measures/  what is measured of an arm at one seed
    variants    changes planted into the data        task       one arm at one seed: train, measure
    shop        the shops                            pool       tasks in a few processes
    store       results on disk                      planning   what is left to do, and how long it takes
    recipes/    the recipes that arms differ from    halves     two devices that share no negatives
                                                     report, results, plots   docs/experiments

A run may be stopped at any moment; the next one goes on. An arm that several rows need is trained once.
"""
