"""Words too common to find anything by, language by language.

The lists are short and never change: an index was written with them. They hold articles,
conjunctions, prepositions, pronouns and auxiliary verbs, and no word that is also a noun of note.
"""

# ruff: noqa: RUF001, E501  -- letters of other scripts are meant

from __future__ import annotations

from typing import Final

_LISTS: Final = {
    "arabic": "من في على إلى عن مع هذا هذه ذلك التي الذي و أو ثم أن إن كان لا ما هو هي هم",
    "danish": "af at de den der det du en er et for fra han har hun i jeg man med og om på som til "
    "var vi",
    "dutch": "aan als bij dat de den der des die dit een en er het hij ik in is je met niet of om "
    "op te tot uit van voor was we wij ze zij zijn zo",
    "english": "a an and are as at be but by for from had has have he her his i if in into is it "
    "its me my no not of on or our she so such that the their them then there these they this to "
    "us was we were which who will with you your",
    "finnish": "ei että hän he ja jos joka jotka kun me minä mutta nämä ne niin on oli sen se sinä "
    "tai tämä te",
    "french": "au aux avec ce ces cette dans de des du elle elles en est et il ils je la le les "
    "leur lui mais me ne nous on ou par pas pour qu que qui sa se ses son sur te tu un une vous y",
    "german": "aber als am an auch auf aus bei bin bis das dem den der des die ein eine einem einen "
    "einer es für hat ich ihr im in ist mit nach nicht noch oder sich sie sind so und uns um von "
    "vor war was wie wir zu zum zur",
    "greek": "και το τα τη την της του των ο η οι στο στη στην στα με για από που να θα δεν είναι "
    "ένα μια ή αν",
    "hebrew": "של על את אל זה זו הוא היא הם הן אני אתה אנחנו לא כן או גם אם כי עם כל מה",
    "hungarian": "a az és egy hogy nem is ez azt ha de csak meg mint volt van vagy ki be el le fel",
    "italian": "a ai al alla anche che chi ci con da dal dalla dei del della di e ed gli i il in "
    "io la le lei lo loro lui ma mi ne nel nella non o per più se si sono su tra un una uno",
    "norwegian": "av at de den der det du en er et for fra han har hun i jeg man med og om på som "
    "til var vi å",
    "polish": "a aby ale bo co czy dla do i ich jak jest już lub ma mi na nie o od oraz po przez są "
    "się to w we z za ze że",
    "portuguese": "a ao aos as até com como da das de do dos e ela ele em entre era essa esse esta "
    "este eu foi já mais mas me na nas não no nos o os ou para pela pelo por que se sem ser seu sua "
    "são também um uma",
    "romanian": "a al ale ca care ce cu de din este și în la mai nu o pe pentru prin sau se si un "
    "una unei unui",
    "russian": "а без бы был была было были в вам вас во вот все вы где да для до его ее если есть "
    "же за и из или им их к как ко кто ли мне мы на над не нет ни но о об он она они от по под при "
    "с со так то ты у уже что чтобы это я",
    "spanish": "a al ante como con contra de del desde donde e el ella ellos en entre era es esa ese "
    "esta este fue ha han la las le les lo los más me mi muy no nos o para pero por que se si sin "
    "sobre son su sus también te un una uno y ya",
    "swedish": "av att de den det du en ett från för han har hon i inte jag man med och om på som "
    "till var vi är",
    "turkish": "ama ben bir biz bu çok da daha de değil gibi her için ile ki mi mı ne o olan olarak "
    "sen siz şu ve veya ya",
    "ukrainian": "а або але без би був була було в вони від він вона воно все де для до є за з і й "
    "із або як не ні но о по при про та так те ти то у це що я",
}

#: The languages that have a list.
STOPPED_LANGUAGES: Final = tuple(_LISTS)


def stop_words(language: str) -> frozenset[str]:
    """The stop words of a language; none if there is no list for it."""
    return frozenset(_LISTS.get(language, "").split())
